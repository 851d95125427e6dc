import type { User } from "../../../../gen/service/node_pb.ts";
import type { RejectedUser, SkippedUser } from "../engine.ts";
import { type Account, sameAccount } from "./accounts.ts";
import type { UserInbound } from "./config.ts";
import type { JsonObject } from "./json-object.ts";

/** What one user's account on one inbound has to become. */
export interface AccountChange {
  readonly inbound: UserInbound;
  /** What Xray holds now. */
  readonly before: Account | undefined;
  /** What it shall hold; undefined: nothing. */
  after: Account | undefined;
}

/** What has to change, and which users cannot have what they ask for. */
export interface UsersDiff {
  readonly changes: readonly AccountChange[];
  readonly skipped: readonly SkippedUser[];
  readonly rejected: readonly RejectedUser[];
}

/**
 * The users of one config, by inbound: what Xray holds as far as we know. Xray takes e-mails that differ in case only
 * for the same.
 */
export class UserTable {
  readonly #inbounds: readonly UserInbound[];
  // By tag, then by the e-mail in small letters.
  readonly #accounts: ReadonlyMap<string, Map<string, Account>>;
  readonly #emails = new Set<string>();

  constructor(inbounds: readonly UserInbound[]) {
    this.#inbounds = inbounds;
    this.#accounts = new Map(inbounds.map(({ tag }) => [tag, new Map()]));
  }

  /** Whether this user was set and not removed since, on whatever inbounds. */
  has(email: string): boolean {
    return this.#emails.has(email);
  }

  /** The users of an inbound as they stand in the config. */
  clientsOf(inbound: UserInbound): JsonObject[] {
    return [...this.#on(inbound).values()].filter(isCertain).map((account) => inbound.kind.client(account));
  }

  /**
   * What has to change so that these users are as they ask to be and, with `replace`, no others are left. Remembers
   * who the users are; their accounts are remembered as the changes are reported done.
   */
  diff(users: readonly User[], replace: boolean): UsersDiff {
    const wanted = new Map(users.map((user) => [user.email, user]));
    const changes = new Map<string, Map<string, AccountChange>>(this.#inbounds.map(({ tag }) => [tag, new Map()]));
    const skipped: SkippedUser[] = [];
    const rejected: RejectedUser[] = [];
    const set = (inbound: UserInbound, key: string, after: Account | undefined) => {
      const before = this.#on(inbound).get(key);
      const ofInbound = mapAt(changes, inbound.tag);
      if (before === undefined ? after === undefined : after !== undefined && sameAccount(before, after)) {
        ofInbound.delete(key);
      } else {
        ofInbound.set(key, { inbound, before, after });
      }
    };

    if (replace) {
      this.#emails.clear();
      for (const inbound of this.#inbounds) {
        for (const [key, { email }] of this.#on(inbound)) if (!wanted.has(email)) set(inbound, key, undefined);
      }
    }
    // Those who leave go first: their e-mails are free for others then.
    const sorted = [...wanted.values()].sort((a, b) => Number(a.inbounds.length > 0) - Number(b.inbounds.length > 0));
    for (const user of sorted) {
      if (user.inbounds.length > 0) this.#emails.add(user.email);
      else this.#emails.delete(user.email);
      const key = user.email.toLowerCase();
      const tags = new Set(user.inbounds);
      const derived = new Map<UserInbound["kind"], Account | string>();
      for (const inbound of this.#inbounds) {
        const holder = holderOf(mapAt(changes, inbound.tag).get(key), this.#on(inbound).get(key));
        if (!tags.has(inbound.tag)) {
          if (holder?.email === user.email) set(inbound, key, undefined);
          continue;
        }
        const account = derived.get(inbound.kind) ?? (user.email === "" ? "no e-mail" : inbound.kind.account(user));
        derived.set(inbound.kind, account);
        if (typeof account === "string") {
          skipped.push({ email: user.email, inbound: inbound.tag, reason: account });
          if (holder?.email === user.email) set(inbound, key, undefined);
        } else if (holder !== undefined && holder.email !== user.email) {
          rejected.push({ email: user.email, inbound: inbound.tag, reason: `User ${holder.email} already exists.` });
        } else {
          set(inbound, key, account);
        }
      }
    }
    return {
      changes: this.#inbounds.flatMap((inbound) => {
        const ofInbound = mapAt(changes, inbound.tag);
        return [...ofInbound.values(), ...this.#orphans(inbound, ofInbound)];
      }),
      skipped,
      rejected,
    };
  }

  /** Takes changes for done: Xray will be started with this table. */
  settle(changes: readonly AccountChange[]): void {
    for (const { inbound, before } of changes) if (before !== undefined) this.removed(inbound, before);
    for (const { inbound, after } of changes) if (after !== undefined) this.added(inbound, after);
  }

  /** Xray holds the account now. */
  added(inbound: UserInbound, account: Account): void {
    this.#on(inbound).set(account.email.toLowerCase(), account);
  }

  /** Xray does not hold the account any more. */
  removed(inbound: UserInbound, account: Account): void {
    this.#on(inbound).delete(account.email.toLowerCase());
  }

  /** The account was being added when Xray stopped answering: it may be there. The next change removes it first. */
  doubted(inbound: UserInbound, { email }: Account): void {
    this.added(inbound, { email, secret: "", detail: "", identity: "" });
  }

  #on(inbound: UserInbound): Map<string, Account> {
    return mapAt(this.#accounts, inbound.tag);
  }

  /** Accounts that stay but whose identity another one takes along when it goes: they must be set again. */
  #orphans(inbound: UserInbound, changes: ReadonlyMap<string, AccountChange>): AccountChange[] {
    const leaving = new Set<string>();
    for (const { before, after } of changes.values()) {
      if (before !== undefined && before.identity !== after?.identity) leaving.add(before.identity);
    }
    if (leaving.size === 0) return [];
    return Array.from(this.#on(inbound))
      .filter(([key, { identity }]) => leaving.has(identity) && !changes.has(key))
      .map(([, account]) => ({ inbound, before: account, after: account }));
  }
}

// No account that was derived from a user is without a secret.
function isCertain(account: Account): boolean {
  return account.secret !== "";
}

function holderOf(change: AccountChange | undefined, held: Account | undefined): Account | undefined {
  return change === undefined ? held : change.after;
}

function mapAt<V>(map: ReadonlyMap<string, V>, key: string): V {
  const value = map.get(key);
  if (value === undefined) throw new Error(`no inbound ${key}`);
  return value;
}
