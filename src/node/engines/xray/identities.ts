/**
 * Who goes by which identity on the inbounds of one kind: to ask it takes no longer the more users there are. Identities
 * are told apart by their likeness: who asks gets some users too many at times, and must look at them.
 */
export class Identities {
  readonly #holders = new Map<number, Holder>();

  /** A user got the identity on one more inbound. `key` names the user. */
  add(likeness: number, key: string): void {
    const first = this.#holders.get(likeness);
    if (first === undefined) {
      this.#holders.set(likeness, { key, inbounds: 1, next: undefined });
      return;
    }
    for (let holder = first; ; holder = holder.next) {
      if (holder.key === key) holder.inbounds += 1;
      else if (holder.next === undefined) holder.next = { key, inbounds: 1, next: undefined };
      else continue;
      return;
    }
  }

  /** A user lost the identity on one inbound. */
  delete(likeness: number, key: string): void {
    let before: Holder | undefined;
    for (let holder = this.#holders.get(likeness); holder !== undefined; holder = holder.next) {
      if (holder.key !== key) {
        before = holder;
        continue;
      }
      holder.inbounds -= 1;
      if (holder.inbounds > 0) return;
      if (before !== undefined) before.next = holder.next;
      else if (holder.next !== undefined) this.#holders.set(likeness, holder.next);
      else this.#holders.delete(likeness);
      return;
    }
  }

  /** The users who have the identity on some inbound. */
  keysOf(likeness: number): readonly string[] {
    const keys: string[] = [];
    for (let holder = this.#holders.get(likeness); holder !== undefined; holder = holder.next) keys.push(holder.key);
    return keys;
  }
}

/** A user, and the next one of the same identity: nearly always there is none, and no list is needed. */
interface Holder {
  readonly key: string;
  inbounds: number;
  next: Holder | undefined;
}
