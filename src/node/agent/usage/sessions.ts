import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import {
  type SessionEventEntry,
  SessionEventEntrySchema,
  SessionEventType,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { VpnProtocol } from "../../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { replaceFile } from "../../../platform/files/replace-file.ts";
import { type Links, ownerIn, readUserName } from "../config/links.ts";

/** Users who are online, as far as an engine tells. */
export interface Sessions {
  /** How many there are. */
  readonly online: number;
  /**
   * These were seen: they are connected, or have carried something. Whoever was not seen for 90 s is offline. Returns
   * what has happened, in order; {@link keep} is called once that is kept.
   */
  seen(
    names: Iterable<string>,
    links: Links,
    addressOf: (name: string) => Promise<string | undefined>,
  ): Promise<SessionEventEntry[]>;
  /** Keeps who is online for the next process. */
  keep(): Promise<void>;
}

/** After so long without a sign of them users are offline. */
const silentMs = 90_000;
/** Addresses that are asked for at a time: it is one call to the engine for each. */
const parallelCalls = 16;

interface Session {
  readonly id: string;
  readonly userId: number;
  readonly subscriptionId: number | undefined;
  readonly nodeProtocolId: number;
  readonly protocol: VpnProtocol;
  seenAt: number;
}

/**
 * Opens the sessions that are kept in a file, whose directory exists.
 *
 * @param now milliseconds since 1970, by Core's clock
 */
export async function openSessions(file: string, now: () => number): Promise<Sessions> {
  const sessions = new Map<string, Session>(await readSessions(file));
  let isChanged = false;

  const eventOf = (session: Session, eventType: SessionEventType, at: number, ipAddress?: string) =>
    create(SessionEventEntrySchema, {
      ...{ userId: BigInt(session.userId), protocol: session.protocol, eventType, sessionId: session.id },
      ...(session.subscriptionId !== undefined && { subscriptionId: BigInt(session.subscriptionId) }),
      ...(ipAddress !== undefined && { ipAddress }),
      occurredAt: new Date(at).toISOString(),
      nodeProtocolId: BigInt(session.nodeProtocolId),
    });

  return {
    get online() {
      return sessions.size;
    },
    async seen(names, links, addressOf) {
      const at = now();
      const comers: [name: string, session: Session][] = [];
      for (const name of names) {
        const known = sessions.get(name);
        if (known !== undefined) {
          known.seenAt = at;
          continue;
        }
        const read = readUserName(name);
        const owner = read && ownerIn(links, read.uuid);
        if (read === undefined || owner === undefined) continue;
        const { nodeProtocolId } = read;
        const protocol = links.kinds.get(nodeProtocolId) ?? VpnProtocol.UNSPECIFIED;
        comers.push([name, { id: randomUUID(), ...owner, nodeProtocolId, protocol, seenAt: at }]);
      }
      const events: SessionEventEntry[] = [];
      for (const [name, session] of sessions) {
        if (at - session.seenAt < silentMs) continue;
        sessions.delete(name);
        events.push(eventOf(session, SessionEventType.OFFLINE, session.seenAt));
      }
      for (let next = 0; next < comers.length; next += parallelCalls) {
        const some = comers.slice(next, next + parallelCalls);
        const addresses = await Promise.all(some.map(([name]) => addressOf(name)));
        for (const [index, [name, session]] of some.entries()) {
          sessions.set(name, session);
          events.push(eventOf(session, SessionEventType.ONLINE, at, addresses[index]));
        }
      }
      isChanged ||= events.length > 0;
      return events;
    },
    async keep() {
      if (!isChanged) return;
      isChanged = false;
      await replaceFile(file, JSON.stringify([...sessions]), { synced: false });
    },
  };
}

async function readSessions(file: string): Promise<[string, Session][]> {
  try {
    const read: unknown = JSON.parse(await readFile(file, "utf8"));
    return Array.isArray(read) ? read : [];
  } catch {
    return []; // whoever is still online comes online again
  }
}
