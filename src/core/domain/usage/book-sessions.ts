import { isIP } from "node:net";
import { type SessionEventEntry, SessionEventType } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { clockError, createTimeReader, minuteMs } from "./entry-time.ts";
import { protocolSpelling } from "./protocol-spelling.ts";
import type { Aside, Booking, NodeTraits, SessionRow } from "./usage-store.ts";

/** Stores events of users coming and going. Returns how many were kept aside. */
export async function bookSessions(
  booking: Booking,
  nodeId: number,
  events: readonly SessionEventEntry[],
  ageMs: number | undefined,
  now: number,
): Promise<number> {
  const node = await booking.node(nodeId);
  const aside: Aside[] = [];
  const readable: { entry: SessionEventEntry; row: SessionRow }[] = [];
  const readTime = createTimeReader();
  const times = events.map((event) => readTime(event.occurredAt));
  const error = clockError(
    times.filter((time) => time !== undefined),
    ageMs,
    now,
  );
  for (const [index, entry] of events.entries()) {
    const row = rowOf(entry, times[index], node, error, now);
    if (typeof row === "string") aside.push({ reason: row, entry });
    else readable.push({ entry, row });
  }
  const accounts = new Set(readable.map(({ row }) => row.accountId));
  const strangers = await booking.unknownAccounts([...accounts].sort((a, b) => a - b));
  const known: SessionRow[] = [];
  for (const { entry, row } of readable) {
    if (strangers.has(row.accountId)) aside.push({ reason: "user unknown", entry });
    else known.push(row);
  }
  await booking.addSessionEvents(nodeId, known);
  await booking.keepAside(nodeId, "sessions", aside, now);
  return aside.length;
}

/** The row of an event, or why it has none. What is optional and makes no sense is left out. */
function rowOf(
  event: SessionEventEntry,
  occurredAt: number | undefined,
  node: NodeTraits,
  error: number,
  now: number,
): SessionRow | string {
  const accountId = idOf(event.userId);
  if (accountId === null) return "user unknown";
  const protocol = protocolSpelling(event.protocol);
  if (protocol === undefined) return "protocol cannot be read";
  const eventType = eventTypes[event.eventType];
  if (eventType === undefined) return "type cannot be read";
  if (occurredAt === undefined) return "time cannot be read";
  const at = occurredAt - error;
  const nodeProtocolId = idOf(event.nodeProtocolId);
  const ipAddress = event.ipAddress ?? "";
  return {
    accountId,
    subscriptionId: idOf(event.subscriptionId),
    nodeProtocolId: nodeProtocolId !== null && node.protocols.has(nodeProtocolId) ? nodeProtocolId : null,
    protocol,
    eventType,
    // What is yet to come is taken to happen now.
    occurredAt: at > now + 2 * minuteMs ? now : at,
    ipAddress: isIP(ipAddress) === 0 ? "" : ipAddress,
    sessionId: /\0/.test(event.sessionId) ? "" : event.sessionId.slice(0, 64),
  };
}

/** An id that may have been given; null: it cannot have been. */
function idOf(id: bigint | undefined): number | null {
  return id !== undefined && id > 0n && id < 2n ** 53n ? Number(id) : null;
}

const eventTypes: Partial<Record<SessionEventType, "online" | "offline">> = {
  [SessionEventType.ONLINE]: "online",
  [SessionEventType.OFFLINE]: "offline",
};
