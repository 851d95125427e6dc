import type { User } from "../../../../gen/service/node_pb.ts";
import type { RejectedUser, SkippedUser } from "../engine.ts";
import { type Account, type AccountKind, sameAccount } from "./accounts.ts";
import type { UserInbound } from "./config.ts";
import type { Identities } from "./identities.ts";

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

/** An inbound and what it holds. */
export interface Slot {
  readonly inbound: UserInbound;
  /** By {@link keyOf} their e-mails. */
  readonly accounts: Map<string, Account>;
  /** Of these accounts, and of those on other inbounds of the kind, by their likeness. */
  readonly identities: Identities;
}

/** A difference in the making. */
export class Diff {
  readonly slots: readonly (Slot & { readonly changes: Map<string, AccountChange> })[];
  readonly #doubtful: ReadonlySet<Account>;
  readonly #skipped: SkippedUser[] = [];
  readonly #rejected: RejectedUser[] = [];
  readonly #tags = new TagSets();

  /** Accounts that are doubtful are changed even if they are as they should be. */
  constructor(slots: readonly Slot[], doubtful: ReadonlySet<Account>) {
    this.#doubtful = doubtful;
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
    const tags = this.#tags.of(inbounds);
    let kind: AccountKind | undefined;
    let account: Account | string = "";
    // What an inbound holds that is just what the user asks for. Others of the kind hold it, too, nearly always.
    let asAsked: Account | undefined;
    for (const slot of this.slots) {
      const { tag } = slot.inbound;
      const before = slot.accounts.get(key);
      const held = slot.changes.size > 0 ? holder(slot, key) : before;
      if (!tags.has(tag)) {
        if (held?.email === email) this.#change(slot, key, before, undefined);
        continue;
      }
      if (kind !== slot.inbound.kind) {
        kind = slot.inbound.kind;
        account = email === "" ? "no e-mail" : kind.account(user);
        asAsked = undefined;
      }
      if (typeof account === "string") {
        this.#skipped.push({ email, inbound: tag, reason: account });
        if (held?.email === email) this.#change(slot, key, before, undefined);
      } else if (held !== undefined && held.email !== email) {
        this.#rejected.push({ email, inbound: tag, reason: `User ${held.email} already exists.` });
      } else if (before === undefined || before !== asAsked || held !== before) {
        if (this.#change(slot, key, before, account)) asAsked = before;
      }
    }
  }

  set(slot: Diff["slots"][number], key: string, after: Account | undefined): void {
    this.#change(slot, key, slot.accounts.get(key), after);
  }

  /** Returns whether there is nothing to change. */
  #change(
    { inbound, changes }: Diff["slots"][number],
    key: string,
    before: Account | undefined,
    after: Account | undefined,
  ): boolean {
    const isSo = this.#isSo(before, after);
    if (!isSo) changes.set(key, { inbound, before, after });
    else if (changes.size > 0) changes.delete(key);
    return isSo;
  }

  #isSo(before: Account | undefined, after: Account | undefined): boolean {
    if (before === undefined || after === undefined) return before === after;
    return sameAccount(before, after) && !this.#doubtful.has(before);
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
function orphans({ inbound, accounts, identities, changes }: Diff["slots"][number]): AccountChange[] {
  const found = new Map<string, AccountChange>();
  for (const change of changes.values()) {
    if (change.before === undefined || !leavesIdentity(change)) continue;
    const identity = inbound.kind.identity(change.before);
    for (const key of identities.keysOf(inbound.kind.likeness(change.before))) {
      const account = changes.has(key) ? undefined : accounts.get(key);
      if (account === undefined || inbound.kind.identity(account) !== identity) continue;
      found.set(key, { inbound, before: account, after: account });
    }
  }
  return [...found.values()];
}

/** Who has an e-mail after the changes so far. */
function holder({ accounts, changes }: Diff["slots"][number], key: string): Account | undefined {
  const change = changes.size > 0 ? changes.get(key) : undefined;
  return change === undefined ? accounts.get(key) : change.after;
}

/**
 * The same for e-mails that Xray takes for one. Its protocols differ: some fold case, others write small letters, and
 * some do one when they take a user and the other when they remove one, so that they would remove somebody else.
 */
export function keyOf({ email }: { readonly email: string }): string {
  return email.replace(/\P{ASCII}/gu, smallLetter).toLowerCase();
}

/** One small letter for all that are the same to Xray, such as σ for Σ and ς, or s for ſ. */
function smallLetter(letter: string): string {
  if (letter === "İ") return "i";
  if (letter === "ı") return letter;
  const capital = letter.toUpperCase();
  return (capital.length === letter.length ? capital : letter).toLowerCase();
}

/** Sets of tags. Users who come one after the other have the same nearly always, and then share one. */
class TagSets {
  #list: readonly string[] = [];
  #set: ReadonlySet<string> = new Set();

  of(list: readonly string[]): ReadonlySet<string> {
    if (list.length !== this.#list.length || list.some((tag, index) => tag !== this.#list[index])) {
      this.#list = list;
      this.#set = new Set(list);
    }
    return this.#set;
  }
}
