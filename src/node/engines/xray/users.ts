import type { User } from "../../../../gen/service/node_pb.ts";
import { createPause } from "../pause.ts";
import type { Account, AccountKind } from "./accounts.ts";
import type { UserInbound } from "./config.ts";
import { Identities } from "./identities.ts";
import type { JsonObject } from "./json-object.ts";
import { type AccountChange, Diff, keyOf, type Slot, type UsersDiff } from "./users-diff.ts";

/** The users of one config, by inbound: what Xray holds as far as we know. */
export class UserTable {
  readonly #slots: readonly Slot[];
  // By tag: a plan may get another reading of the same config.
  readonly #slotOf: ReadonlyMap<string, Slot>;
  // Accounts that were being added when Xray stopped answering: they may be there or not.
  readonly #doubtful = new Set<Account>();
  #emails = new Set<string>();

  constructor(inbounds: readonly UserInbound[]) {
    const ofKind = new Map<AccountKind, Identities>();
    this.#slots = inbounds.map((inbound) => {
      const identities = ofKind.get(inbound.kind) ?? new Identities();
      ofKind.set(inbound.kind, identities);
      return { inbound, accounts: new Map(), identities };
    });
    this.#slotOf = new Map(this.#slots.map((slot) => [slot.inbound.tag, slot]));
  }

  /**
   * A table for these inbounds that holds what another one holds of those that are kept, by tag. Takes a while, in which
   * others have their turn; nothing may use either table meanwhile.
   */
  static async succeeding(
    before: UserTable,
    inbounds: readonly UserInbound[],
    kept: ReadonlySet<string>,
  ): Promise<UserTable> {
    const table = new UserTable(inbounds);
    const pause = createPause();
    for (const { inbound } of table.#slots) {
      if (!kept.has(inbound.tag)) continue;
      for (const account of before.#slotOf.get(inbound.tag)?.accounts.values() ?? []) {
        table.added(inbound, account);
        const turn = pause();
        if (turn !== undefined) await turn;
      }
    }
    for (const account of before.#doubtful) table.#doubtful.add(account);
    table.#emails = new Set(before.#emails);
    return table;
  }

  /** Whether this user was set and not removed since, on whatever inbounds. */
  has(email: string): boolean {
    return this.#emails.has(email);
  }

  /** The users of an inbound, by their e-mails. */
  *emailsOn(tag: string): Iterable<string> {
    for (const { email } of this.#slotOf.get(tag)?.accounts.values() ?? []) yield email;
  }

  /** Whether this user is on an inbound. */
  holds(tag: string, email: string): boolean {
    return this.#slotOf.get(tag)?.accounts.has(keyOf({ email })) === true;
  }

  /** Whoever has an account counts as set, and nobody else. */
  knowHolders(): void {
    this.#emails = new Set();
    for (const { accounts } of this.#slots) for (const { email } of accounts.values()) this.#emails.add(email);
  }

  /** The account that an inbound holds under this key. */
  held(inbound: UserInbound, key: string): Account | undefined {
    return this.#slotOf.get(inbound.tag)?.accounts.get(key);
  }

  /** The accounts that an inbound holds. */
  accountsOf(inbound: UserInbound): Iterable<Account> {
    return this.#slotOf.get(inbound.tag)?.accounts.values() ?? [];
  }

  /** The users of an inbound as they stand in the config. */
  clientsOf(inbound: UserInbound): JsonObject[] {
    return Array.from(this.accountsOf(inbound), inbound.kind.client);
  }

  /**
   * What has to change so that these users are as they ask to be and, with `replace`, no others are left. Remembers
   * who the users are; their accounts are remembered as the changes are reported done. Many users take a while, in
   * which others have their turn; nothing else may use the table meanwhile.
   */
  async diff(users: readonly User[], replace: boolean): Promise<UsersDiff> {
    const pause = createPause();
    const wanted = await lastOfEach(users, pause);
    const diff = new Diff(this.#slots, this.#doubtful);
    if (replace) {
      for (const slot of diff.slots) {
        for (const [key, { email }] of slot.accounts) {
          if (!wanted.emails.has(email)) diff.set(slot, key, undefined);
          const turn = pause();
          if (turn !== undefined) await turn;
        }
      }
    }
    const emails = replace ? wanted.emails : this.#emails;
    // Those who leave go first: their e-mails are free for others then.
    for (const user of wanted.users) {
      if (user.inbounds.length > 0) continue;
      emails.delete(user.email);
      diff.drop(user);
      const turn = pause();
      if (turn !== undefined) await turn;
    }
    for (const user of wanted.users) {
      if (user.inbounds.length === 0) continue;
      if (!replace) emails.add(user.email);
      diff.put(user);
      const turn = pause();
      if (turn !== undefined) await turn;
    }
    this.#emails = emails;
    return diff.finish();
  }

  /** Takes changes for done: Xray will be started with this table. Takes a while, as {@link diff} does. */
  async settle(changes: readonly AccountChange[]): Promise<void> {
    const pause = createPause();
    for (const { inbound, before } of changes) {
      if (before !== undefined) this.removed(inbound, before);
      const turn = pause();
      if (turn !== undefined) await turn;
    }
    for (const { inbound, after } of changes) {
      if (after !== undefined) this.added(inbound, after);
      const turn = pause();
      if (turn !== undefined) await turn;
    }
  }

  /** Xray was started with this table. */
  started(): void {
    this.#doubtful.clear();
  }

  /** Xray holds the account now. */
  added(inbound: UserInbound, account: Account): void {
    this.#doubtful.delete(account);
    this.#hold(inbound, keyOf(account), account);
  }

  /** Xray does not hold the account any more. */
  removed(inbound: UserInbound, account: Account): void {
    this.#doubtful.delete(account);
    this.#hold(inbound, keyOf(account), undefined);
  }

  /**
   * The account was being added when Xray stopped answering. Should Xray have gone away, it is started with it; else
   * the next change that names the user removes it first.
   */
  doubted(inbound: UserInbound, account: Account): void {
    this.added(inbound, account);
    this.#doubtful.add(account);
  }

  #hold(inbound: UserInbound, key: string, account: Account | undefined): void {
    const slot = this.#slotOf.get(inbound.tag);
    const before = slot?.accounts.get(key);
    if (slot === undefined || before === account) return;
    if (before !== undefined) slot.identities.delete(inbound.kind.likeness(before), key);
    if (account === undefined) slot.accounts.delete(key);
    else {
      slot.accounts.set(key, account);
      slot.identities.add(inbound.kind.likeness(account), key);
    }
  }
}

/** The users without those whom a later one with the same e-mail stands for, and their e-mails. */
async function lastOfEach(
  users: readonly User[],
  pause: () => Promise<void> | undefined,
): Promise<{ users: readonly User[]; emails: Set<string> }> {
  const emails = new Set<string>();
  for (const { email } of users) {
    emails.add(email);
    const turn = pause();
    if (turn !== undefined) await turn;
  }
  // As it nearly always is: nothing else has to be remembered.
  if (emails.size === users.length) return { users, emails };
  const last = new Map<string, User>();
  for (const user of users) last.set(user.email, user);
  return { users: [...last.values()], emails };
}
