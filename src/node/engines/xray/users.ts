import { setImmediate } from "node:timers/promises";
import type { User } from "../../../../gen/service/node_pb.ts";
import type { RejectedUser, SkippedUser } from "../engine.ts";
import { type Account, type AccountKind, sameAccount } from "./accounts.ts";
import type { UserInbound } from "./config.ts";
import type { JsonObject } from "./json-object.ts";

/** What one user's account on one inbound has to become. */
export interface AccountChange {
  readonly inbound: UserInbound;
  /** What Xray holds now. */
  readonly before: Account | undefined;
  /** What it shall hold; undefined: nothing. */
  readonly after: Account | undefined;
}

/** What has to change, and which users cannot have what they ask for. */
export interface UsersDiff {
  readonly changes: readonly AccountChange[];
  readonly skipped: readonly SkippedUser[];
  readonly rejected: readonly RejectedUser[];
}

/** Whether the change gives up what the protocol found the user by. */
export function leavesIdentity({ inbound, before, after }: AccountChange): boolean {
  if (before === undefined) return false;
  return after === undefined || inbound.kind.identity(before) !== inbound.kind.identity(after);
}

/**
 * The users of one config, by inbound: what Xray holds as far as we know. Xray takes e-mails that differ in case only
 * for the same.
 */
export class UserTable {
  readonly #slots: readonly Slot[];
  readonly #slotOf: ReadonlyMap<UserInbound, Slot>;
  #emails = new Set<string>();

  constructor(inbounds: readonly UserInbound[]) {
    this.#slots = inbounds.map((inbound) => ({ inbound, accounts: new Map() }));
    this.#slotOf = new Map(this.#slots.map((slot) => [slot.inbound, slot]));
  }

  /** Whether this user was set and not removed since, on whatever inbounds. */
  has(email: string): boolean {
    return this.#emails.has(email);
  }

  /** The users of an inbound as they stand in the config. */
  clientsOf(inbound: UserInbound): JsonObject[] {
    const accounts = this.#slotOf.get(inbound)?.accounts.values() ?? [];
    return Array.from(accounts).filter(isCertain).map(inbound.kind.client);
  }

  /**
   * What has to change so that these users are as they ask to be and, with `replace`, no others are left. Remembers
   * who the users are; their accounts are remembered as the changes are reported done. Many users take a while, in
   * which others have their turn; nothing else may use the table meanwhile.
   */
  async diff(users: readonly User[], replace: boolean): Promise<UsersDiff> {
    const wanted = new Map<string, User>();
    for (const user of users) wanted.set(user.email, user);
    const diff = new Diff(this.#slots);
    const pause = createPause();
    const emails = replace ? new Set<string>() : this.#emails;
    if (replace) {
      for (const slot of diff.slots) {
        for (const [key, { email }] of slot.accounts) if (!wanted.has(email)) diff.set(slot, key, undefined);
      }
    }
    // Those who leave go first: their e-mails are free for others then.
    for (const user of wanted.values()) {
      if (user.inbounds.length > 0) continue;
      emails.delete(user.email);
      diff.drop(user);
      const turn = pause();
      if (turn !== undefined) await turn;
    }
    for (const user of wanted.values()) {
      if (user.inbounds.length === 0) continue;
      emails.add(user.email);
      diff.put(user);
      const turn = pause();
      if (turn !== undefined) await turn;
    }
    this.#emails = emails;
    return diff.finish();
  }

  /** Takes changes for done: Xray will be started with this table. */
  settle(changes: readonly AccountChange[]): void {
    for (const { inbound, before } of changes) if (before !== undefined) this.removed(inbound, before);
    for (const { inbound, after } of changes) if (after !== undefined) this.added(inbound, after);
  }

  /** Xray holds the account now. */
  added(inbound: UserInbound, account: Account): void {
    this.#slotOf.get(inbound)?.accounts.set(keyOf(account), account);
  }

  /** Xray does not hold the account any more. */
  removed(inbound: UserInbound, account: Account): void {
    this.#slotOf.get(inbound)?.accounts.delete(keyOf(account));
  }

  /** The account was being added when Xray stopped answering: it may be there. The next change removes it first. */
  doubted(inbound: UserInbound, { email }: Account): void {
    this.added(inbound, { email, secret: "", detail: "" });
  }
}

/** An inbound and what it holds. */
interface Slot {
  readonly inbound: UserInbound;
  /** By e-mail in small letters. */
  readonly accounts: Map<string, Account>;
}

/** A difference in the making. */
class Diff {
  readonly slots: readonly (Slot & { readonly changes: Map<string, AccountChange> })[];
  readonly #skipped: SkippedUser[] = [];
  readonly #rejected: RejectedUser[] = [];

  constructor(slots: readonly Slot[]) {
    this.slots = slots.map((slot) => ({ ...slot, changes: new Map() }));
  }

  /** The user is to be nowhere. */
  drop(user: User): void {
    const key = keyOf(user);
    for (const slot of this.slots) if (holder(slot, key)?.email === user.email) this.set(slot, key, undefined);
  }

  /** The user is to be where they ask to be, and nowhere else. */
  put(user: User): void {
    const { email, inbounds } = user;
    const key = keyOf(user);
    const tags = inbounds.length > 8 ? new Set(inbounds) : undefined;
    let kind: AccountKind | undefined;
    let account: Account | string = "";
    for (const slot of this.slots) {
      const { tag } = slot.inbound;
      const held = holder(slot, key);
      if (!(tags?.has(tag) ?? inbounds.includes(tag))) {
        if (held?.email === email) this.set(slot, key, undefined);
        continue;
      }
      if (kind !== slot.inbound.kind) {
        kind = slot.inbound.kind;
        account = email === "" ? "no e-mail" : kind.account(user);
      }
      if (typeof account === "string") {
        this.#skipped.push({ email, inbound: tag, reason: account });
        if (held?.email === email) this.set(slot, key, undefined);
      } else if (held !== undefined && held.email !== email) {
        this.#rejected.push({ email, inbound: tag, reason: `User ${held.email} already exists.` });
      } else {
        this.set(slot, key, account);
      }
    }
  }

  set({ inbound, accounts, changes }: Diff["slots"][number], key: string, after: Account | undefined): void {
    const before = accounts.get(key);
    if (before === undefined ? after === undefined : after !== undefined && sameAccount(before, after)) {
      if (changes.size > 0) changes.delete(key);
    } else {
      changes.set(key, { inbound, before, after });
    }
  }

  finish(): UsersDiff {
    return {
      changes: this.slots.flatMap((slot) => [...slot.changes.values(), ...orphans(slot)]),
      skipped: this.#skipped,
      rejected: this.#rejected,
    };
  }
}

/** Accounts that stay but whose identity another one takes along when it goes: they must be set again. */
function orphans({ inbound, accounts, changes }: Diff["slots"][number]): AccountChange[] {
  const leaving = new Set<string>();
  for (const change of changes.values()) {
    if (change.before !== undefined && leavesIdentity(change)) leaving.add(inbound.kind.identity(change.before));
  }
  if (leaving.size === 0) return [];
  return Array.from(accounts)
    .filter(([key, account]) => leaving.has(inbound.kind.identity(account)) && !changes.has(key))
    .map(([, account]) => ({ inbound, before: account, after: account }));
}

/** Who has an e-mail after the changes so far. */
function holder({ accounts, changes }: Diff["slots"][number], key: string): Account | undefined {
  const change = changes.size > 0 ? changes.get(key) : undefined;
  return change === undefined ? accounts.get(key) : change.after;
}

function keyOf({ email }: { readonly email: string }): string {
  return email.toLowerCase();
}

// No account that was derived from a user is without a secret.
function isCertain(account: Account): boolean {
  return account.secret !== "";
}

/** A pause to be made often: it lets others have their turn when this one has lasted a while. */
function createPause(): () => Promise<void> | undefined {
  let count = 0;
  let since = performance.now();
  return () => {
    if (++count % 128 !== 0 || performance.now() - since < longestTurnMs) return undefined;
    return setImmediate().then(() => {
      since = performance.now();
    });
  };
}

const longestTurnMs = 5;
