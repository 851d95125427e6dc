/**
 * The members of an object, each value as the text that it is, in their order. The text is JSON without white space, as
 * configs are kept: large parts of it are found and compared without being read.
 */
export function membersOf(object: string): Map<string, string> {
  const members = new Map<string, string>();
  for (let at = 1; at < object.length - 1; at++) {
    const nameEnds = endOfString(object, at);
    const valueEnds = endOfValue(object, nameEnds + 1);
    members.set(JSON.parse(object.slice(at, nameEnds)), object.slice(nameEnds + 1, valueEnds));
    at = valueEnds;
  }
  return members;
}

/** The elements of an array, as {@link membersOf}. */
export function elementsOf(array: string): string[] {
  const elements: string[] = [];
  for (let at = 1; at < array.length - 1; at++) {
    const ends = endOfValue(array, at);
    elements.push(array.slice(at, ends));
    at = ends;
  }
  return elements;
}

const quote = 0x22;
const comma = 0x2c;
const backslash = 0x5c;

/** Where the value that begins at `start` ends: at a comma, or the bracket that closes what it is in. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case quote:
        at = endOfString(text, at) - 1;
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth++;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        if (depth-- === 0) return at;
        break;
      case comma:
        if (depth === 0) return at;
    }
  }
  throw new SyntaxError("the JSON of a config ends too early");
}

/** Where the string that begins at `start` has ended. */
function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let escapes = 0;
    while (text.charCodeAt(at - 1 - escapes) === backslash) escapes++;
    if (escapes % 2 === 0) return at + 1;
  }
  throw new SyntaxError("the JSON of a config ends too early");
}
