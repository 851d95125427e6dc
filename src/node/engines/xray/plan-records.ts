import { inParts } from "../../../platform/files/in-parts.ts";
import { createPause } from "../pause.ts";
import { type Account, sameAccount } from "./accounts.ts";
import type { UserInbound, XrayConfig } from "./config.ts";
import type { JsonObject } from "./json-object.ts";
import type { Plan } from "./plan.ts";
import type { XrayProgram } from "./process.ts";
import type { RoutingState } from "./routing-state.ts";
import { UserTable } from "./users.ts";
import { type AccountChange, keyOf } from "./users-diff.ts";

// A plan as lines of JSON: one for the config, some for the accounts, and one for whatever happened since.

/** A plan as it was kept. */
export interface KeptPlan {
  readonly plan: Plan;
  /** An Xray that was started for the plan runs just that, but for the changes. */
  readonly isExact: boolean;
  /** Changes that were begun and perhaps not finished. In the plan they are done. */
  readonly unsettled: readonly AccountChange[];
}

/** Reads a config as for a start, with this routing. Throws `ConfigRefused`. */
export type ReadConfig = (source: XrayConfig["source"], routing: RoutingState) => XrayConfig;

/** The records of a plan as it stands. Takes a while, in which others have their turn. */
export async function* planRecords(plan: Plan): AsyncIterable<string> {
  const { id, config, table } = plan;
  const record: PlanRecord = { ...amendOf(plan), format, id, inbounds: config.inbounds.map(({ tag }) => tag) };
  yield textOf(record);
  const places = new Map<Account, number[]>();
  const pause = createPause();
  for (const [place, inbound] of config.inbounds.entries()) {
    for (const account of table.accountsOf(inbound)) {
      const known = places.get(account);
      if (known === undefined) places.set(account, [place]);
      else known.push(place);
      const turn = pause();
      if (turn !== undefined) await turn;
    }
  }
  for (const some of inParts(places)) {
    yield textOf({ accounts: some.map(([account, inbounds]) => [...textsOf(account), inbounds]) });
    const turn = pause();
    if (turn !== undefined) await turn;
  }
}

/** Says that these accounts are being changed. */
export function changingRecords(changes: readonly AccountChange[]): string[] {
  return Array.from(inParts(changes), (some) => textOf({ changing: some.map(changeOf) }));
}

/** Says that these changes are done, and what came out differently. */
export function changedRecord(table: UserTable, changes: readonly AccountChange[]): string {
  return textOf({ changed: exceptions(table, changes) });
}

/** Says that nobody knows what became of the changes. */
export const failedRecord = textOf({ failed: true });

/** Says that what runs is being changed in another way. */
export const disturbedRecord = textOf({ disturbed: true });

/** Says with what config, and what word about silent callers, the plan goes on. */
export function amendedRecord(plan: Plan): string {
  return textOf(amendOf(plan));
}

/**
 * Reads the records of a plan, and those that were added since; undefined when there are none. Throws when they are of
 * another format, or their config is refused.
 */
export async function planFrom(
  records: readonly string[],
  program: XrayProgram,
  readConfig: ReadConfig,
): Promise<KeptPlan | undefined> {
  const [first, ...rest] = records;
  if (first === undefined) return undefined;
  const record: PlanRecord = JSON.parse(first);
  if (record.format !== format) throw new Error(`it is of format ${record.format}`);
  const read = ({ source, routing }: AmendRecord) =>
    readConfig(source, { ...routing, overrides: new Map(routing.overrides) });
  let amended: AmendRecord = record;
  let config = read(record);
  const table = new UserTable(config.inbounds);
  const inboundOf = new Map(config.inbounds.map((inbound) => [inbound.tag, inbound]));
  const begun = new Map<string, AccountChange>();
  const unsettled = new Map<string, AccountChange>();
  let isDisturbed = false;

  const pause = createPause();
  for (const line of rest) {
    const next: KeptRecord = JSON.parse(line);
    if ("accounts" in next) {
      for (const [email, secret, detail, places] of next.accounts) {
        const account = { email, secret, detail };
        for (const place of places) {
          const inbound = inboundOf.get(record.inbounds[place] ?? "");
          if (inbound !== undefined) table.added(inbound, account);
        }
      }
    } else if ("changing" in next) {
      for (const change of next.changing.flatMap((kept) => changeFrom(kept, inboundOf))) {
        set(table, change);
        begun.set(keyOfChange(change), change);
      }
    } else if ("failed" in next) {
      for (const [key, change] of begun) unsettled.set(key, change);
      begun.clear();
    } else if ("changed" in next) {
      for (const key of begun.keys()) unsettled.delete(key);
      begun.clear();
      for (const change of next.changed.flatMap((kept) => changeFrom(kept, inboundOf))) set(table, change);
    } else if ("disturbed" in next) {
      isDisturbed = true;
    } else {
      amended = next;
      isDisturbed = false;
    }
    const turn = pause();
    if (turn !== undefined) await turn;
  }
  for (const [key, change] of begun) unsettled.set(key, change);
  table.knowHolders();
  if (amended !== record) config = read(amended);
  return {
    plan: { id: record.id, keepAlive: BigInt(amended.keepAlive), program, config, table },
    isExact: !isDisturbed && config.fingerprint === amended.fingerprint,
    // Shadowsocks takes a user twice who was added already.
    unsettled: Array.from(unsettled.values(), (change) => ({ ...change, before: change.before ?? change.after })),
  };
}

type KeptRecord =
  | PlanRecord
  | AccountsRecord
  | ChangingRecord
  | ChangedRecord
  | FailedRecord
  | DisturbedRecord
  | AmendRecord;

/** The first of the base. */
interface PlanRecord extends AmendRecord {
  readonly format: typeof format;
  readonly id: string;
  /** Tags. */
  readonly inbounds: readonly string[];
}

interface AmendRecord {
  readonly keepAlive: string;
  readonly fingerprint: string;
  readonly source: XrayConfig["source"];
  readonly routing: KeptRouting;
}

interface KeptRouting {
  readonly rules: readonly JsonObject[];
  readonly balancers: readonly JsonObject[];
  readonly overrides: readonly (readonly [string, string])[];
}

interface AccountsRecord {
  /** Each with its inbounds: their places among those of the plan. */
  readonly accounts: readonly (readonly [...AccountTexts, inbounds: readonly number[]])[];
}

interface ChangingRecord {
  readonly changing: readonly KeptChange[];
}

interface ChangedRecord {
  /** The changes before it are done, but for these, that did not come out as they were to. */
  readonly changed: readonly KeptChange[];
}

interface FailedRecord {
  /** Nobody knows what became of the changes since the last such record, or the last that says what became of them. */
  readonly failed: true;
}

interface DisturbedRecord {
  readonly disturbed: true;
}

type AccountTexts = readonly [email: string, secret: string, detail: string];
/** The tag of the inbound, what was there, and what is to be, or is there in fact. */
type KeptChange = readonly [inbound: string, before: AccountTexts | null, after: AccountTexts | null];

const format = 1;

function set(table: UserTable, { inbound, before, after }: AccountChange): void {
  if (after !== undefined) table.added(inbound, after);
  else if (before !== undefined) table.removed(inbound, before);
}

function textOf(record: KeptRecord): string {
  return JSON.stringify(record);
}

/** What became of changes that is not what was to become of them. */
function exceptions(table: UserTable, changes: readonly AccountChange[]): KeptChange[] {
  return changes.flatMap((change) => {
    const { inbound, before, after } = change;
    const held = table.held(inbound, keyOf(after ?? before ?? { email: "" }));
    const isSo = held === undefined || after === undefined ? held === after : sameAccount(held, after);
    return isSo ? [] : [changeOf({ inbound, before: after ?? before, after: held })];
  });
}

function amendOf({ keepAlive, config: { fingerprint, source, routing } }: Plan): AmendRecord {
  const { rules, balancers, overrides } = routing;
  return { keepAlive: `${keepAlive}`, fingerprint, source, routing: { rules, balancers, overrides: [...overrides] } };
}

function changeOf({ inbound, before, after }: AccountChange): KeptChange {
  return [inbound.tag, before === undefined ? null : textsOf(before), after === undefined ? null : textsOf(after)];
}

function changeFrom(
  [tag, before, after]: KeptChange,
  inbounds: ReadonlyMap<string, UserInbound>,
): readonly AccountChange[] {
  const inbound = inbounds.get(tag);
  return inbound === undefined ? [] : [{ inbound, before: accountFrom(before), after: accountFrom(after) }];
}

function keyOfChange({ inbound, before, after }: AccountChange): string {
  return `${inbound.tag}\n${keyOf(after ?? before ?? { email: "" })}`;
}

function textsOf({ email, secret, detail }: Account): AccountTexts {
  return [email, secret, detail];
}

function accountFrom(texts: AccountTexts | null): Account | undefined {
  if (texts === null) return undefined;
  const [email, secret, detail] = texts;
  return { email, secret, detail };
}
