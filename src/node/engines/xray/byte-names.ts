/**
 * Numbers names that stand in buffers, from 0 on in the order in which they are seen first; the same bytes have the same
 * number. No string is made: of a hundred thousand names nearly all were seen before.
 */
export class ByteNames {
  // Copies of the names, one behind the other.
  #bytes = Buffer.allocUnsafe(16_384);
  // Where each name ends, which is where the next one starts, and what its bytes hash to.
  readonly #ends: number[] = [];
  readonly #hashes: number[] = [];
  // Numbers plus one by hash, and the next free place where that one is taken. At most half of them are used.
  #slots = new Int32Array(1024);

  /** How many names there are. */
  get count(): number {
    return this.#ends.length;
  }

  /** The number of the name from `start` to `end` in a buffer: {@link count} as it was before, when it is new. */
  numberOf(bytes: Buffer, start: number, end: number): number {
    const hash = hashOf(bytes, start, end);
    const mask = this.#slots.length - 1;
    let at = hash & mask;
    for (let taken = this.#slots[at] ?? 0; taken > 0; taken = this.#slots[at] ?? 0) {
      const number = taken - 1;
      if (this.#hashes[number] === hash && this.#isSame(number, bytes, start, end)) return number;
      at = (at + 1) & mask;
    }
    const number = this.count;
    this.#add(bytes, start, end);
    this.#hashes.push(hash);
    this.#slots[at] = number + 1;
    if (2 * this.count > this.#slots.length) this.#grow();
    return number;
  }

  #isSame(number: number, bytes: Buffer, start: number, end: number): boolean {
    const own = number === 0 ? 0 : (this.#ends[number - 1] ?? 0);
    if ((this.#ends[number] ?? 0) - own !== end - start) return false;
    for (let index = end - start - 1; index >= 0; index -= 1)
      if (this.#bytes[own + index] !== bytes[start + index]) return false;
    return true;
  }

  #add(bytes: Buffer, start: number, end: number): void {
    const own = this.#ends.at(-1) ?? 0;
    const ownEnd = own + end - start;
    if (ownEnd > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, ownEnd));
      this.#bytes.copy(larger, 0, 0, own);
      this.#bytes = larger;
    }
    bytes.copy(this.#bytes, own, start, end);
    this.#ends.push(ownEnd);
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
