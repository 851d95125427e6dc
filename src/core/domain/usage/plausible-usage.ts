import type { InboundUsage, UsageEntry } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { bookedMinute, clockError, createTimeReader } from "./entry-time.ts";
import type { Aside, NodeTraits, UsageRow } from "./usage-store.ts";

/** What can be said of entries without asking who the users are. */
export interface JudgedUsage {
  readonly rows: readonly JudgedRow[];
  readonly aside: readonly Aside[];
}

/** A row with what it came from. */
export interface JudgedRow extends UsageRow {
  readonly entry: UsageEntry;
}

/** Judges entries of usage one by one. `ageMs` is that of their batch. */
export function judgeUsage(
  entries: readonly UsageEntry[],
  node: NodeTraits,
  ageMs: number | undefined,
  now: number,
): JudgedUsage {
  const rows: JudgedRow[] = [];
  const aside: Aside[] = [];
  const readTime = createTimeReader();
  const times = entries.map((entry) => readTime(entry.recordedAt));
  const error = clockError(times.filter(isKnown), ageMs, now);
  const minuteBytes = bytesPossible(node, 60);
  const hourBytes = bytesPossible(node, 3600);
  for (const [index, entry] of entries.entries()) {
    const recordedAt = times[index];
    const linkUuid = entry.linkUuid.toLowerCase();
    const reason = faultOf(entry, node, entry.coarse ? hourBytes : minuteBytes);
    if (reason !== undefined || recordedAt === undefined) {
      aside.push({ reason: reason ?? "time cannot be read", entry });
      continue;
    }
    const { minute, late } = bookedMinute(recordedAt - error, now);
    rows.push({
      entry,
      minute,
      nodeProtocolId: Number(entry.nodeProtocolId),
      accountId: linkUuid === "" ? Number(entry.userId) : 0,
      subscriptionId: linkUuid === "" ? Number(entry.subscriptionId ?? 0n) : 0,
      linkUuid,
      bytesUp: entry.bytesUp,
      bytesDown: entry.bytesDown,
      late,
      coarse: entry.coarse,
    });
  }
  return { rows, aside };
}

/** Judges the totals of inbounds one by one. */
export function judgeInbounds(inbounds: readonly InboundUsage[], node: NodeTraits) {
  const plausible: InboundUsage[] = [];
  const aside: Aside[] = [];
  for (const inbound of inbounds) {
    // How long it was counted is not told: as long as an entry may stand for.
    const reason = faultOfBytes(inbound, bytesPossible(node, 3600)) ?? faultOfProtocol(inbound, node);
    if (reason === undefined) plausible.push(inbound);
    else aside.push({ reason, entry: inbound });
  }
  return { plausible, aside };
}

function faultOf(entry: UsageEntry, node: NodeTraits, limit: bigint): string | undefined {
  return faultOfBytes(entry, limit) ?? faultOfProtocol(entry, node) ?? faultOfUser(entry);
}

function faultOfBytes({ bytesUp, bytesDown }: Pick<UsageEntry, "bytesUp" | "bytesDown">, limit: bigint) {
  if (bytesUp < 0n || bytesDown < 0n) return "bytes are negative";
  if (bytesUp > limit || bytesDown > limit) return "more bytes than the network can carry";
  return undefined;
}

function faultOfProtocol({ nodeProtocolId }: Pick<UsageEntry, "nodeProtocolId">, { protocols }: NodeTraits) {
  return protocols.has(Number(nodeProtocolId)) ? undefined : "the node has no such protocol";
}

function faultOfUser({ userId, subscriptionId, linkUuid }: UsageEntry): string | undefined {
  if (linkUuid !== "") return uuid.test(linkUuid) ? undefined : "linkUuid is no UUID";
  if (!isId(userId)) return "user unknown";
  return subscriptionId === undefined || isId(subscriptionId) ? undefined : "subscription unknown";
}

/** Ids beyond 2^53 were never given. */
function isId(id: bigint): boolean {
  return id > 0n && id <= highestId;
}

const highestId = BigInt(Number.MAX_SAFE_INTEGER);

/** Twice what a node's network carries in one direction in so many seconds: clocks and counters are read unevenly. */
function bytesPossible({ bitsPerSecond }: NodeTraits, seconds: number): bigint {
  return BigInt(Math.floor(Math.min(((bitsPerSecond ?? fastestNetwork) / 8) * seconds * 2, mostBytes)));
}

/** Bits per second where nothing is known. */
const fastestNetwork = 100e9;
// So that sums over a batch stay within 63 bits.
const mostBytes = 2 ** 50;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function isKnown(time: number | undefined): time is number {
  return time !== undefined;
}
