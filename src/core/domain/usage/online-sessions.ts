import type { SessionRow } from "./usage-store.ts";

/**
 * What events, in this order, do to who is online: sessions that went, and then those that came and did not go again,
 * each once.
 */
export function sessionChanges(events: readonly SessionRow[]): { went: SessionRow[]; came: SessionRow[] } {
  const ended = events.filter(({ eventType }) => eventType === "offline");
  const last = onePerSession(events);
  return { went: onePerSession(ended), came: last.filter(({ eventType }) => eventType === "online") };
}

/** The last event of each session, in an order that is the same for all who write at once. */
function onePerSession(events: readonly SessionRow[]): SessionRow[] {
  const last = new Map(events.map((event) => [keyOf(event), event]));
  return [...last].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, event]) => event);
}

/** Sessions without an id are known by user and protocol. */
function keyOf({ accountId, protocol, sessionId }: SessionRow): string {
  return `${accountId} ${protocol} ${sessionId}`;
}
