import { inParts } from "../../../platform/files/in-parts.ts";
import { createKeptState } from "../kept-state.ts";
import { readWireGuardConfig, type WireGuardConfig } from "./config.ts";
import type { KeptCounter } from "./counters.ts";
import { type Peer, PeerTable } from "./users.ts";

/** What is in force: it stands, or comes back. */
export interface Plan {
  readonly config: WireGuardConfig;
  readonly table: PeerTable;
  /** What its start said of silent callers, in seconds. */
  readonly keepAlive: bigint;
}

/** What was kept of a plan. */
export interface KeptPlan {
  readonly plan: Plan;
  /** What had been counted that cannot be learnt from the interface. */
  readonly counters: readonly KeptCounter[];
  /** Who had a key last that nobody has now: its peer may still be there, and not be counted a last time. */
  readonly leaving: ReadonlyMap<string, string>;
  /** The interface has the key, port and shared key of the plan; otherwise it may have others. */
  readonly isExact: boolean;
}

/** Keeps the plan in force on disk, so that another process can take it up. One thing at a time; nothing rejects. */
export interface PlanKeeper {
  /** What is kept, if anything. Asked once, before anything else. */
  open(): Promise<KeptPlan | undefined>;
  /** Keeps another plan. */
  keep(plan: Plan, counters: Iterable<KeptCounter>): Promise<void>;
  /** Notes that these users are now as the table has them. */
  changed(plan: Plan, emails: readonly string[], counters: () => Iterable<KeptCounter>): Promise<void>;
  /** Notes how counters stand now that can no longer be learnt from the interface. */
  counted(counters: readonly KeptCounter[]): Promise<void>;
  /** Notes that key, port or shared key are changed: until another plan is kept, they may be others. */
  disturb(): Promise<void>;
  /** Nothing is to be taken up any more. */
  forget(): Promise<void>;
  /** Resolves when all that is kept is on disk. */
  close(): Promise<void>;
}

/** Makes a keeper of the file at a path, whose directory exists. `tell` is told what the operator should know. */
export function createPlanKeeper(path: string, tell: (note: string) => void): PlanKeeper {
  const state = createKeptState(path, tell);
  const keep: PlanKeeper["keep"] = async (plan, counters) => (await state.draft(recordsOf(plan, counters))).commit();
  return {
    async open() {
      try {
        return planFrom(await state.open());
      } catch (error) {
        tell(`[garrison] what was kept of the last run cannot be taken up: ${error}`);
        return undefined;
      }
    },
    keep,
    async changed(plan, emails, counters) {
      if (emails.length === 0) return;
      if (state.isOvergrown) await keep(plan, counters());
      else await state.add(...usersRecords(plan.table, emails));
    },
    counted: (counters) => state.add(...countersRecords(counters)),
    disturb: () => state.add(recordOf({ isDisturbed: true })),
    forget: state.forget,
    close: state.close,
  };
}

const nothing = async () => undefined;

/** Keeps no plan. */
export const keepsNothing: PlanKeeper = {
  open: nothing,
  keep: nothing,
  changed: nothing,
  counted: nothing,
  disturb: nothing,
  forget: nothing,
  close: nothing,
};

const format = 1;

interface KeptHead {
  readonly format: typeof format;
  /** The config as the admin wrote it. */
  readonly config: string;
  readonly keepAlive: string;
}

/** What follows the head. */
interface KeptRecord {
  readonly users?: readonly KeptUser[];
  readonly counters?: readonly (readonly [email: string, publicKey: string, ...bytes: string[]])[];
  readonly isDisturbed?: true;
}

/** A user who was set, with the peer that they have if they have one; alone the e-mail of one who was removed. */
type KeptUser =
  | readonly [email: string]
  | readonly [email: string, publicKey: string | null, allowedIps: readonly string[]];

function recordOf(record: KeptRecord): string {
  return JSON.stringify(record);
}

function* recordsOf({ config, table, keepAlive }: Plan, counters: Iterable<KeptCounter>): Iterable<string> {
  const head: KeptHead = { format, config: config.text, keepAlive: `${keepAlive}` };
  yield JSON.stringify(head);
  yield* usersRecords(table, table.emails());
  yield* countersRecords(counters);
}

function* usersRecords(table: PeerTable, emails: Iterable<string>): Iterable<string> {
  for (const part of inParts(emails)) yield recordOf({ users: part.map((email) => keptUser(table, email)) });
}

function keptUser(table: PeerTable, email: string): KeptUser {
  const peer = table.peerOf(email);
  if (peer !== undefined) return [email, peer.publicKey, peer.allowedIps];
  return table.has(email) ? [email, null, []] : [email];
}

function* countersRecords(counters: Iterable<KeptCounter>): Iterable<string> {
  for (const part of inParts(counters)) yield recordOf({ counters: part.map(keptCounter) });
}

function keptCounter({ email, publicKey, ...bytes }: KeptCounter): [string, string, ...string[]] {
  const { receivedBytes, sentBytes, seenReceivedBytes, seenSentBytes } = bytes;
  return [email, publicKey, ...[receivedBytes, sentBytes, seenReceivedBytes, seenSentBytes].map(String)];
}

/** Of what was noted more than once, the last counts. Throws for what another version has written. */
function planFrom([first, ...rest]: readonly string[]): KeptPlan | undefined {
  if (first === undefined) return undefined;
  const head: KeptHead = JSON.parse(first);
  if (head.format !== format) throw new Error(`the plan is of format ${head.format}`);
  const records = rest.map((text): KeptRecord => JSON.parse(text));
  const noted = records.flatMap((record) => record.users ?? []);
  const users = new Map(noted.map((user) => [user[0], user]));
  const counters = new Map(
    records.flatMap((record) => record.counters ?? []).map((kept) => [`${kept[1]} ${kept[0]}`, counterOf(kept)]),
  );
  const config = readWireGuardConfig(head.config);
  const table = PeerTable.holding(
    config,
    [...users.values()].flatMap(([email, publicKey, allowedIps]): { email: string; peer: Peer | undefined }[] => {
      if (publicKey === undefined || allowedIps === undefined) return [];
      // Compared with what is asked for next by what it is, and not by its words.
      return [{ email, peer: publicKey === null ? undefined : { email, publicKey, allowedIps, asked: "" } }];
    }),
  );
  const leaving = new Map(noted.flatMap(([email, key]) => (typeof key === "string" ? [[key, email] as const] : [])));
  for (const { publicKey } of table.peers()) leaving.delete(publicKey);
  return {
    plan: { config, table, keepAlive: BigInt(head.keepAlive) },
    counters: [...counters.values()],
    leaving,
    isExact: records.every(({ isDisturbed }) => isDisturbed !== true),
  };
}

function counterOf([email, publicKey, ...bytes]: readonly [string, string, ...string[]]): KeptCounter {
  const [receivedBytes = 0n, sentBytes = 0n, seenReceivedBytes = 0n, seenSentBytes = 0n] = bytes.map(BigInt);
  return { email, publicKey, receivedBytes, sentBytes, seenReceivedBytes, seenSentBytes };
}
