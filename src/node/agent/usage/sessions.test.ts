import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SessionEventType } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { VpnProtocol } from "../../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import type { Links } from "../config/links.ts";
import { openSessions, type Sessions } from "./sessions.ts";

const name = (digit: number) => `7.${digit}0000000-0000-4000-8000-000000000000`;
const links: Links = {
  owners: new Map([1, 2].map((digit) => [name(digit).slice(2), { userId: digit, subscriptionId: undefined }])),
  former: new Map(),
  protocols: new Map(),
  kinds: new Map([[7, VpnProtocol.VLESS]]),
};

let directory: string;
let now: number;
let sessions: Sessions;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-sessions-"));
  now = Date.UTC(2026, 4, 10);
  await open();
});
afterEach(() => rm(directory, { recursive: true }));

async function open(): Promise<void> {
  sessions = await openSessions(join(directory, "sessions.json"), () => now);
}

async function see(...names: string[]) {
  const events = await sessions.seen(names, links, async () => "192.0.2.7");
  await sessions.keep();
  return events.map(({ userId, eventType, occurredAt }) => [Number(userId), eventType, occurredAt.slice(11, 19)]);
}

const { ONLINE, OFFLINE } = SessionEventType;

test("a user is online when first seen, and offline after 90 seconds without, since they were seen last", async () => {
  expect(await see(name(1))).toEqual([[1, ONLINE, "00:00:00"]]);
  now += 60_000;
  expect(await see(name(1), name(2))).toEqual([[2, ONLINE, "00:01:00"]]);
  now += 89_000;
  expect(await see(name(2))).toEqual([]);
  now += 1_000;
  expect(await see(name(2))).toEqual([[1, OFFLINE, "00:01:00"]]);
  expect(sessions.online).toBe(1);
});

test("events tell the protocol, the address and the session", async () => {
  const [online] = await sessions.seen([name(1)], links, async () => "192.0.2.7");
  expect(online).toMatchObject({ protocol: VpnProtocol.VLESS, ipAddress: "192.0.2.7", nodeProtocolId: 7n });
  now += 90_000;
  const [offline] = await sessions.seen([], links, async () => undefined);
  expect(offline).toMatchObject({ eventType: OFFLINE, sessionId: online?.sessionId });
});

test("who was online when the agent ended is online, or goes offline, with the next one", async () => {
  await see(name(1), name(2));
  await open();
  now += 30_000;
  expect(await see(name(1))).toEqual([]);
  now += 60_000;
  expect(await see(name(1))).toEqual([[2, OFFLINE, "00:00:00"]]);
});

test("who belongs to nobody is nobody's session", async () => {
  expect(await see("alice", name(3))).toEqual([]);
});
