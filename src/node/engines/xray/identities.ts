/** Who goes by which identity on the inbounds of one kind: to ask it takes no longer the more users there are. */
export class Identities {
  readonly #holders = new Map<string, Holder[]>();

  /** A user got the identity on one more inbound. `key` names the user. */
  add(identity: string, key: string): void {
    const holders = this.#holders.get(identity);
    const holder = holders?.find((other) => other.key === key);
    if (holder !== undefined) holder.inbounds += 1;
    else if (holders !== undefined) holders.push({ key, inbounds: 1 });
    else this.#holders.set(identity, [{ key, inbounds: 1 }]);
  }

  /** A user lost the identity on one inbound. */
  delete(identity: string, key: string): void {
    const holders = this.#holders.get(identity) ?? [];
    const holder = holders.find((other) => other.key === key);
    if (holder === undefined || --holder.inbounds > 0) return;
    if (holders.length === 1) this.#holders.delete(identity);
    else holders.splice(holders.indexOf(holder), 1);
  }

  /** The users who have the identity on some inbound. */
  keysOf(identity: string): readonly string[] {
    return this.#holders.get(identity)?.map(({ key }) => key) ?? [];
  }
}

interface Holder {
  readonly key: string;
  inbounds: number;
}
