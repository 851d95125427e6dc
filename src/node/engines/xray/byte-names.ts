/**
 * Numbers names that stand in a buffer, from 0 on in the order in which they are seen first; the same bytes have the same
 * number. No string is made: of a hundred thousand names half are seen for the second time.
 */
export class ByteNames {
  readonly #bytes: Buffer;
  // Where each name stands, and what its bytes hash to.
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #hashes: number[] = [];
  // Numbers plus one by hash, and the next free place where that one is taken. At most half of them are used.
  #slots = new Int32Array(1024);

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** How many names there are. */
  get count(): number {
    return this.#starts.length;
  }

  /** The number of the name from `start` to `end`: {@link count} as it was before, when it is new. */
  numberOf(start: number, end: number): number {
    const hash = hashOf(this.#bytes, start, end);
    const mask = this.#slots.length - 1;
    let at = hash & mask;
    for (let taken = this.#slots[at] ?? 0; taken > 0; taken = this.#slots[at] ?? 0) {
      const number = taken - 1;
      if (this.#hashes[number] === hash && this.#isSame(number, start, end)) return number;
      at = (at + 1) & mask;
    }
    const number = this.count;
    this.#starts.push(start);
    this.#ends.push(end);
    this.#hashes.push(hash);
    this.#slots[at] = number + 1;
    if (2 * this.count > this.#slots.length) this.#grow();
    return number;
  }

  #isSame(number: number, start: number, end: number): boolean {
    const other = this.#starts[number] ?? 0;
    if ((this.#ends[number] ?? 0) - other !== end - start) return false;
    for (let index = end - start - 1; index >= 0; index -= 1)
      if (this.#bytes[other + index] !== this.#bytes[start + index]) return false;
    return true;
  }

  #grow(): void {
    this.#slots = new Int32Array(this.#slots.length * 4);
    const mask = this.#slots.length - 1;
    for (const [number, hash] of this.#hashes.entries()) {
      let at = hash & mask;
      while (this.#slots[at] !== 0) at = (at + 1) & mask;
      this.#slots[at] = number + 1;
    }
  }
}

// FNV-1a, its upper bits mixed into those that are looked at.
function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at += 1) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
  return (hash ^ (hash >>> 15)) & 0x3fffffff;
}
