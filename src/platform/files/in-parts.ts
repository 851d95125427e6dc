/** Cuts what is to be kept into lists of so many: one record of a journal each, none of which holds up everybody. */
export function* inParts<T>(all: Iterable<T>, length = 500): Iterable<T[]> {
  let part: T[] = [];
  for (const each of all) {
    part.push(each);
    if (part.length < length) continue;
    yield part;
    part = [];
  }
  if (part.length > 0) yield part;
}
