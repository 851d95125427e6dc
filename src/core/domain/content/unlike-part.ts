/**
 * Two objects, or two arrays, without the entries that both begin and end with: as texts, of which little is read. Each
 * entry but the last ends in `}`, and each but the first begins with `begin`: that stands in no string, where quotes are
 * escaped.
 */
export function unlikePart(before: string, after: string, begin: '"' | '{"'): [before: string, after: string] {
  const boundary = `},${begin}`;
  const same = commonStart(before, after);
  const lastBegun = before.lastIndexOf(boundary, same - boundary.length);
  const from = same < boundary.length || lastBegun < 0 ? 1 : lastBegun + 2;
  const tail = commonEnd(before, after, Math.min(before.length, after.length) - from);
  const firstBegun = before.indexOf(boundary, before.length - tail);
  const left = firstBegun < 0 ? 1 : before.length - firstBegun - 1;
  const middle = (text: string) => `${text.slice(0, 1)}${text.slice(from, text.length - left)}${text.slice(-1)}`;
  return [middle(before), middle(after)];
}

/** How many characters two texts begin with in common. */
function commonStart(one: string, other: string): number {
  return greatest(Math.min(one.length, other.length), (length) => one.slice(0, length) === other.slice(0, length));
}

/** How many characters two texts end with in common, `most` at most. */
function commonEnd(one: string, other: string, most: number): number {
  return greatest(most, (length) => length === 0 || one.slice(-length) === other.slice(-length));
}

// Whether texts are equal is found by far faster than whether one starts with the other.
/** The greatest number up to `most` for which something holds that holds for all below it. */
function greatest(most: number, holds: (value: number) => boolean): number {
  let [least, above] = [0, most + 1];
  while (above - least > 1) {
    const middle = (least + above) >> 1;
    if (holds(middle)) least = middle;
    else above = middle;
  }
  return least;
}
