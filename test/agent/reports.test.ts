import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NodeService as Fleet } from "../../gen/garrison/core/v1/nodes_pb.ts";
import { createContact } from "../../src/node/agent/contact/contact.ts";
import { CoreAway, CoreRefused, createCoreClient } from "../../src/node/agent/contact/core-client.ts";
import { createPace } from "../../src/node/agent/pace.ts";
import { openSpool } from "../../src/node/agent/spool/open-spool.ts";
import type { Spool } from "../../src/node/agent/spool/spool.ts";
import { type Reporting, startReporting } from "../../src/node/agent/usage/reporting.ts";
import { readEnrolmentCode } from "../../src/platform/identity/enrolment-code.ts";
import { fetchAuthority } from "../../src/platform/identity/pinned-tls.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { until } from "../engines/engine-under-test.ts";
import { type CoreAtHand, startCore } from "./core-at-hand.ts";

// What the node does about each of Core's refusals, with a real Core and a real spool.

const log = createLog("node", "silent");
let core: CoreAtHand;
let directory: string;
let spool: Spool;
let reporting: Reporting | undefined;
let reported: { code: string; message: string }[];
let closing: AbortController;
let authority: string;
let authKey: string;
let nodeId: number;
let owner: { userId: number; subscriptionId: number };
let protocolId: number;
let bytes = 0;
beforeEach(async () => {
  core = await startCore();
  directory = await mkdtemp(join(tmpdir(), "garrison-reports-"));
  reported = [];
  closing = new AbortController();
  const { secret, caSha256 = "" } = readEnrolmentCode(await core.code());
  authority = await fetchAuthority(core.url, { caSha256 });
  const nobody = client("");
  const registered = await nobody.call((agent, call) =>
    agent.register({ code: secret, name: "node", ip: "192.0.2.1", protocolVersion: 1 }, call),
  );
  authKey = registered.authKey;
  nodeId = Number(registered.nodeId);
  protocolId = Number(await core.addVless(nodeId, 10_443));
  const { subscriptionId } = await core.addUser();
  owner = { userId: 1, subscriptionId: Number(subscriptionId) };
  await open();
});
afterEach(async () => {
  await reporting?.close();
  await spool.close();
  closing.abort();
  await rm(directory, { recursive: true });
  await core.close();
});

function client(key = authKey) {
  return createCoreClient({ urls: [core.url], authority, authKey: () => key, signal: closing.signal });
}

async function open(file = "spool.db"): Promise<void> {
  bytes = 0;
  spool = await openSpool({
    file: join(directory, file),
    clock: { now: Date.now, uptime: () => performance.now(), bootId: "boot" },
  });
}

const linkOf = (index: number) => `${String(index).padStart(8, "0")}-0000-4000-8000-000000000000`;

/** Traffic of the one user over so many links. */
async function count(links = 1): Promise<void> {
  bytes += 1_000;
  const counters = Array.from({ length: links }, (_, index) => {
    const name = `${protocolId}.${linkOf(index)}`;
    return { kind: "user", name, link: "traffic", uplinkBytes: BigInt(bytes), downlinkBytes: 0n } as const;
  });
  const minute = Math.floor(Date.now() / 60_000) * 60_000;
  await spool.count(
    { incarnation: "life", counters },
    { engine: "xray", minute, attribute: () => owner, protocolOf: () => undefined, readAt: Date.now() },
  );
}

function start(maxEntries = 5_000): void {
  const pace = createPace();
  pace.adopt({
    intervals: { $typeName: "garrison.core.v1.Intervals", usageMs: 100, sessionsMs: 100 },
    limits: { $typeName: "garrison.core.v1.Limits", maxEntries, maxEvents: 2_000, maxBytes: 0 },
  });
  reporting = startReporting({
    ...{ contact: client(), spool, pace, directory, log, now: Date.now },
    attribute: () => owner,
    terms: { booked: () => undefined },
    booked: () => undefined,
    faults: { report: ({ code, message }) => void reported.push({ code, message }) },
  });
}

async function booked(): Promise<number> {
  const rows = await core.database.db.selectFrom("usage_minute").select("bytes_up").execute();
  return rows.reduce((sum, { bytes_up }) => sum + Number(bytes_up), 0);
}

const untilBooked = (expected: number) =>
  until(`${expected} are booked`, async () => (await booked()) === expected, 20_000);

test("a batch whose answer was lost is sent again, and booked once", async () => {
  await count();
  const batch = await spool.next("usage", { maxEntries: 10, before: Date.now() + 60_000, attribute: () => owner });
  if (batch === undefined) throw new Error("nothing to send");
  const { epoch, seq, request } = batch;
  await client().call((agent, call) => agent.reportUsage({ ...request, batch: named(epoch, seq) }, call));
  expect(await booked()).toBe(1_000);
  await count();
  start();
  await untilBooked(2_000);
});

function named(epoch: string, seq: number) {
  return { $typeName: "garrison.core.v1.Batch", epoch, seq: BigInt(seq) } as const;
}

test("batches that Core has forgotten are counted from 1 again", async () => {
  await count();
  start();
  await untilBooked(1_000);
  await core.database.db.deleteFrom("node_stream").execute();
  await count();
  await untilBooked(2_000);
  expect(reported).toEqual([]);
});

test("batches that are gone are told, and those behind them are booked", async () => {
  start();
  for (const expected of [1_000, 2_000]) {
    await count();
    await untilBooked(expected);
  }
  await core.database.db.updateTable("node_stream").set({ last_seq: 1n }).execute();
  await count();
  await untilBooked(3_000);
  expect(reported).toMatchObject([{ code: "USAGE_GAP", message: expect.stringContaining("batches 2 to 2 of usage") }]);
});

test("when a copy of the spool was there before, batches are counted from 1 again, and it is told", async () => {
  await count();
  start();
  await untilBooked(1_000);
  const [{ epoch } = { epoch: "" }] = await spool.status();
  const { subscriptionId: id, userId } = owner;
  const entry = {
    ...{ userId: BigInt(userId), subscriptionId: BigInt(id), nodeProtocolId: BigInt(protocolId) },
    ...{ bytesUp: 7n, recordedAt: new Date().toISOString() },
  };
  await client().call((agent, call) => agent.reportUsage({ entries: [entry], batch: named(epoch, 2) }, call));
  await count();
  await untilBooked(2_007);
  expect(reported).toMatchObject([{ code: "USAGE_GAP", message: expect.stringContaining("a copy, or an old one") }]);
});

test("a spool that was restored from long ago does not have Core take what it counts for what it has booked", async () => {
  await count();
  start();
  await untilBooked(1_000);
  await until("it is acknowledged", async () => !(await spool.status()).some(({ isSealed }) => isSealed), 20_000);
  await reporting?.close();
  await spool.close();
  await copyFile(join(directory, "spool.db"), join(directory, "backup.db"));
  await open();
  bytes = 1_000;
  start();
  // More batches than Core knows the entries of.
  for (let total = 2_000; total <= 36_000; total += 1_000) {
    await count();
    await untilBooked(total);
  }
  await reporting?.close();
  await spool.close();
  await copyFile(join(directory, "backup.db"), join(directory, "spool.db"));
  await open();
  bytes = 1_000;
  start();
  // The first of them may be one that was sent before: it is left out, which is told. Nothing else is.
  await count();
  await until("it is told", () => reported.length > 0, 20_000);
  await count();
  await count();
  await untilBooked(38_000);
  expect(reported).toEqual([
    {
      code: "USAGE_GAP",
      message:
        "Core has booked batches up to 36 already: the spool of this node is a copy, or an old one. Its batches are counted from 1 again",
    },
  ]);
}, 120_000);

test("a report that is too large is split", async () => {
  await count(5_400);
  start(6_000);
  await untilBooked(5_400_000);
  expect(reported).toEqual([]);
}, 60_000);

test("while Core does not accept the key it is left alone, and it is said once", async () => {
  let now = 1_000_000;
  const said: string[] = [];
  const contact = createContact({
    client: client("nk_1_wrong"),
    now: () => now,
    log: {
      ...log,
      error: (...words: unknown[]) => void said.push(String(words.at(-1))),
      info: () => undefined,
    } as never,
  });
  const call = () => contact.call((agent, options) => agent.heartbeat({}, options));
  await expect(call()).rejects.toMatchObject({ name: "CoreRefused", code: "AUTH_INVALID" });
  expect(contact.state).toBe("refused");
  await expect(call()).rejects.toMatchObject({ name: "CoreAway", retryAfterMs: 300_000 });
  now += 300_000;
  await expect(call()).rejects.toThrow(CoreRefused);
  expect(said).toEqual([expect.stringContaining("Core does not accept this node's key")]);
});

test("a node calls the next address when the first does not answer, and stays with the one that did", async () => {
  const failing = createCoreClient({
    urls: ["https://127.0.0.1:9", core.url],
    ...{ authority, authKey: () => authKey, signal: closing.signal },
  });
  const answer = await failing.call((agent, call) => agent.heartbeat({ protocolVersion: 1 }, call));
  expect(answer.ok).toBe(true);
  const comeBack = await core.goAway();
  await expect(failing.call((agent, call) => agent.heartbeat({}, call))).rejects.toThrow(CoreAway);
  await comeBack();
});

test("a key that is revoked is refused by name", async () => {
  await core.operate(Fleet).revokeNodeKeys({ id: BigInt(nodeId) });
  await expect(client().call((agent, call) => agent.heartbeat({}, call))).rejects.toMatchObject({
    code: "KEY_REVOKED",
  });
});
