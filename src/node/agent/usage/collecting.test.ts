import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type SessionEventEntry, SessionEventType } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { SubscriptionTermsSchema } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { VpnProtocol } from "../../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { createMemoryEngine, type MemoryEngine } from "../../../../test/support/memory-engine.ts";
import { DatabaseFull } from "../../../platform/storage/errors.ts";
import type { Links } from "../config/links.ts";
import { createDrivenXray } from "../engines/driven-xray.ts";
import { openSpool } from "../spool/open-spool.ts";
import type { Spool } from "../spool/spool.ts";
import { type AddressLimits, createAddressLimits } from "./address-limits.ts";
import { type Collecting, createCollecting } from "./collecting.ts";
import { openSessions } from "./sessions.ts";
import { createTerms } from "./terms.ts";

const uuid = "10000000-0000-4000-8000-000000000000";
const user = `7.${uuid}`;
const now = () => 1_700_000_000_000;
const links: Links = {
  ...{ owners: new Map([[uuid, { userId: 1, subscriptionId: 5 }]]), former: new Map(), protocols: new Map() },
  kinds: new Map([[7, VpnProtocol.VLESS]]),
};

let directory: string;
let spool: Spool;
let isFull: boolean;
let noted: SessionEventEntry[];
let engine: MemoryEngine;
let limits: AddressLimits;
let changes: number;
let faults: { code: string; message: string }[];
let collecting: Collecting;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-collecting-"));
  spool = await openSpool({ file: join(directory, "spool.db"), clock: { now, uptime: () => 0, bootId: "boot" } });
  [isFull, noted, changes, faults] = [false, [], 0, []];
  const ignored = () => undefined;
  engine = createMemoryEngine({
    ...{ line: ignored, stateChanged: ignored, exited: ignored, restarted: ignored, drained: ignored },
  });
  await engine.start({ config: '{"inbounds":["in"]}', users: [], excludeInbounds: [] });
  limits = createAddressLimits(now);
  limits.replace({ 5: create(SubscriptionTermsSchema, { maxAddresses: 1 }) }, links);
  const note: Spool["note"] = async (events) => {
    if (isFull) throw new DatabaseFull(undefined);
    noted.push(...events);
    return spool.note(events);
  };
  collecting = createCollecting({
    engines: [createDrivenXray(engine, () => 1)],
    spool: { ...spool, note },
    sessions: await openSessions(join(directory, "sessions.json"), now),
    terms: createTerms({ now, isCoreAway: () => false, carriedBefore: new Map() }),
    ...{ addressLimits: limits, now, links: () => links, urgent: ignored },
    faults: { report: ({ code, message }) => void faults.push({ code, message }) },
    refusedChanged: () => {
      changes += 1;
    },
  });
});
afterEach(async () => {
  await collecting.settled();
  await spool.close();
  await rm(directory, { recursive: true });
});

test("who was refused stays so while the engine does not tell who is connected", async () => {
  const seconds = BigInt(now() / 1_000);
  engine.connected.set(user, { "192.0.2.1": seconds - 2n, "192.0.2.2": seconds });
  await collecting.collect();
  expect([limits.addressesOf(uuid), changes]).toEqual([["192.0.2.2"], 1]);
  const answers = engine.hang();
  await collecting.collect();
  expect([limits.addressesOf(uuid), changes]).toEqual([["192.0.2.2"], 1]);
  answers();
  engine.connected.clear();
  await collecting.collect();
  expect([limits.addressesOf(uuid), changes]).toEqual([[], 2]);
});

test("who came while the disk was full is told of once it is not", async () => {
  engine.connected.set(user, { "192.0.2.1": 1n });
  isFull = true;
  await collecting.collect();
  isFull = false;
  await collecting.collect();
  await collecting.collect();
  expect(noted.map(({ userId, eventType }) => [userId, eventType])).toEqual([[1n, SessionEventType.ONLINE]]);
  expect(faults).toEqual([
    { code: "DISK_FULL", message: "what the engines count cannot be kept: the database has no space left" },
  ]);
});

test("of an engine that dies, what it was seen to have counted last is booked, and the rest is told as a gap", async () => {
  const counter = { kind: "user", name: user, uplinkBytes: 10n, downlinkBytes: 0n } as const;
  engine.carry(counter);
  await collecting.collect();
  const exit = { incarnation: "life 1", code: null, signal: null, lastLines: [], restartInMs: 0 };
  collecting.drained("xray", { incarnation: "life 1", counters: [{ ...counter, link: "traffic", uplinkBytes: 15n }] });
  collecting.exited("xray", exit);
  await collecting.settled();
  expect(faults).toEqual([
    { code: "USAGE_GAP", message: expect.stringMatching(/^xray has ended, and is started again: .* since 2023-/) },
  ]);
  const attribute = () => links.owners.get(uuid);
  const batch = await spool.next("usage", { maxEntries: 10, before: now() + 60_000, attribute });
  expect(batch?.request.entries).toMatchObject([{ subscriptionId: 5n, bytesUp: 15n }]);
});
