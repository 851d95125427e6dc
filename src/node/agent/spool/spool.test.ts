import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SessionEventEntrySchema } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { TrafficKind, TrafficReading } from "../../engines/engine.ts";
import { openSpool } from "./open-spool.ts";
import type { Counting, Spool } from "./spool.ts";

const minuteMs = 60_000;
const links = Array.from({ length: 6 }, (_, index) => `${index}0000000-0000-4000-8000-000000000000`);
const nameOf = (link: number, protocol = 7) => `${protocol}.${links[link]}`;

let directory: string;
let file: string;
let spool: Spool;
let nowMs: number;
let uptimeMs: number;
let bootId: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-spool-"));
  file = join(directory, "spool.db");
  nowMs = Date.UTC(2026, 4, 10, 12, 34, 30);
  uptimeMs = 1_000_000;
  bootId = "boot";
  await open();
});
afterEach(async () => {
  await spool.close();
  await rm(directory, { recursive: true });
});

async function open(maxBytes?: number): Promise<void> {
  spool = await openSpool({
    file,
    clock: { now: () => nowMs, uptime: () => uptimeMs, bootId },
    maxBytes: maxBytes ?? 1 << 28,
  });
}

async function reopen(maxBytes?: number): Promise<void> {
  await spool.close();
  await open(maxBytes);
}

/** The first four links are users 100 to 103, with subscriptions but for the first. */
const attribute: Counting["attribute"] = (link) => {
  const index = links.indexOf(link);
  if (index < 0 || index > 3) return undefined;
  return { userId: 100 + index, subscriptionId: index === 0 ? undefined : 200 + index };
};

const counting = (changes: Partial<Counting> = {}): Counting => ({
  engine: "xray",
  minute: Math.floor(nowMs / minuteMs) * minuteMs,
  attribute,
  protocolOf: (tag) => (tag === "in" ? 7 : undefined),
  readAt: nowMs,
  ...changes,
});

function reading(
  incarnation: string,
  bytes: Record<string, [number, number]>,
  kind: TrafficKind = "user",
): TrafficReading {
  const counters = Object.entries(bytes).map(([name, [up, down]]) => {
    return { kind, name, link: "traffic", uplinkBytes: BigInt(up), downlinkBytes: BigInt(down) };
  });
  return { incarnation, counters };
}

const everything = () => ({ maxEntries: 5_000, before: nowMs + minuteMs, attribute });

/** The entries of the next batch of usage, in short. */
async function usage(options = everything()) {
  const batch = await spool.next("usage", options);
  return batch?.request.entries.map(({ userId, subscriptionId, bytesUp, bytesDown, recordedAt, linkUuid }) => {
    return [
      Number(userId),
      subscriptionId && Number(subscriptionId),
      Number(bytesUp),
      Number(bytesDown),
      recordedAt.slice(11, 16),
      linkUuid,
    ];
  });
}

describe("what an engine counts", () => {
  test("an incarnation that ends without a last reading is a gap, once, that outlives the process", async () => {
    const at = (readAt: number) => counting({ readAt });
    const gap = { engine: "xray", incarnation: "a", readAt: 2_000 };
    await spool.count(reading("a", { [nameOf(1)]: [10, 0] }), at(1_000));
    await spool.count(reading("a", { [nameOf(1)]: [11, 0] }), at(2_000));
    await reopen();
    expect((await spool.count(reading("b", {}), at(3_000))).gap).toEqual(gap);
    expect((await spool.count(reading("b", { [nameOf(1)]: [1, 0] }), at(4_000))).gap).toBeUndefined();
    await reopen();
    expect(await spool.gaps()).toEqual([gap]);
    await spool.forgetGap(gap);
    expect(await spool.gaps()).toEqual([]);
  });

  test("an incarnation whose last reading came, or whose end was noted, is no gap when another one comes", async () => {
    await spool.count(reading("a", { [nameOf(1)]: [10, 0] }), counting());
    await spool.count(reading("a", { [nameOf(1)]: [10, 0] }), counting({ isLast: true }));
    await reopen();
    expect((await spool.count(reading("b", { [nameOf(1)]: [1, 0] }), counting({ readAt: 5_000 }))).gap).toBeUndefined();
    const noted = await spool.noteGap({ engine: "xray", incarnation: "b", readAt: undefined });
    expect(noted?.readAt).toBe(5_000);
    expect(await spool.noteGap({ engine: "xray", incarnation: "b", readAt: undefined })).toBeUndefined();
    // It was on its way when the end was noted.
    await spool.count(reading("b", { [nameOf(1)]: [2, 0] }), counting());
    await spool.forgetGap({ engine: "xray", incarnation: "b" });
    await reopen();
    expect((await spool.count(reading("c", {}), counting())).gap).toBeUndefined();
    expect(await spool.gaps()).toEqual([]);
  });

  test("is what has grown, by minute and user", async () => {
    const counted = await spool.count(reading("a", { [nameOf(0)]: [10, 20], [nameOf(1)]: [1, 2] }), counting());
    expect([...counted.bySubscription]).toEqual([[201, 3n]]);
    await spool.count(reading("a", { [nameOf(0)]: [15, 20], [nameOf(1)]: [1, 2] }), counting());
    nowMs += minuteMs;
    await spool.count(reading("a", { [nameOf(0)]: [15, 21], [nameOf(1)]: [1, 2] }), counting());
    expect(await usage()).toEqual([
      [100, undefined, 15, 20, "12:34", ""],
      [101, 201, 1, 2, "12:34", ""],
      [100, undefined, 0, 1, "12:35", ""],
    ]);
  });

  test("goes on across restarts of the agent, and begins anew with another incarnation", async () => {
    await spool.count(reading("a", { [nameOf(0)]: [10, 10] }), counting());
    await reopen();
    await spool.count(reading("a", { [nameOf(0)]: [12, 10] }), counting());
    await spool.count(reading("b", { [nameOf(0)]: [11, 0] }), counting());
    await reopen();
    await spool.count(reading("b", { [nameOf(0)]: [12, 0] }), counting());
    expect(await usage()).toEqual([[100, undefined, 24, 10, "12:34", ""]]);
  });

  test("of a counter that went down is what it shows, also when it was seen at zero", async () => {
    await spool.count(reading("a", { [nameOf(0)]: [10, 10] }), counting());
    await spool.count(reading("a", { [nameOf(0)]: [0, 3] }), counting());
    await spool.count(reading("a", { [nameOf(0)]: [12, 3] }), counting());
    expect(await usage()).toEqual([[100, undefined, 22, 13, "12:34", ""]]);
  });

  test("has baselines by engine, and names of another form are nobody's", async () => {
    await spool.count(reading("a", { [nameOf(0)]: [10, 0], "0.alice": [5, 5] }), counting());
    await spool.count(reading("b", { [nameOf(0, 8)]: [3, 0] }), counting({ engine: "mtproto" }));
    await spool.count(reading("a", { [nameOf(0)]: [11, 0] }), counting());
    expect(await usage()).toEqual([
      [100, undefined, 11, 0, "12:34", ""],
      [100, undefined, 3, 0, "12:34", ""],
    ]);
  });

  test("of one user by several keys adds up, each from where it was", async () => {
    const byKeys = (bytes: Record<string, [number, number]>) => ({
      incarnation: "a",
      counters: Object.entries(bytes).map(([link, [up, down]]) => {
        const [uplinkBytes, downlinkBytes] = [BigInt(up), BigInt(down)];
        return { kind: "user", name: nameOf(1), link, uplinkBytes, downlinkBytes } as const;
      }),
    });
    const count = (bytes: Record<string, [number, number]>) =>
      spool.count(byKeys(bytes), counting({ engine: "wireguard" }));
    await count({ old: [10, 20] });
    const { bySubscription, grownUsers } = await count({ old: [11, 20], new: [5, 0] });
    expect([[...bySubscription], new Set(grownUsers)]).toEqual([[[201, 6n]], new Set([nameOf(1)])]);
    await reopen();
    await count({ old: [11, 20], new: [7, 1] });
    expect(await usage()).toEqual([[101, 201, 18, 21, "12:34", ""]]);
  });

  test("of inbounds and outbounds goes along", async () => {
    await spool.count(reading("a", { in: [10, 20], other: [1, 1] }, "inbound"), counting());
    await spool.count(reading("a", { direct: [5, 6] }, "outbound"), counting());
    await spool.count(reading("a", { direct: [5, 9] }, "outbound"), counting());
    const batch = await spool.next("usage", everything());
    expect(batch?.request.inbounds).toMatchObject([{ nodeProtocolId: 7n, bytesUp: 10n, bytesDown: 20n }]);
    const outbounds = await spool.next("outbound_usage", everything());
    expect(outbounds?.request.items).toMatchObject([{ tag: "direct", bytesUp: 5n, bytesDown: 9n }]);
  });

  test("beyond 2^53 bytes is exact", async () => {
    const bytes = 2n ** 60n + 1n;
    const counter = { kind: "user", name: nameOf(0), link: "traffic", uplinkBytes: bytes, downlinkBytes: 0n } as const;
    await spool.count({ incarnation: "a", counters: [counter] }, counting());
    expect((await spool.next("usage", everything()))?.request.entries[0]?.bytesUp).toBe(bytes);
  });
});

describe("a link that nobody knows", () => {
  test("is its user's once that is known, and until then it waits", async () => {
    await spool.count(reading("a", { [nameOf(4)]: [10, 20] }), counting());
    expect(await usage()).toBeUndefined();
    const known = (link: string) => (link === links[4] ? { userId: 9, subscriptionId: 8 } : undefined);
    await spool.count(reading("a", { [nameOf(4)]: [11, 20] }), counting({ attribute: known }));
    expect(await usage({ ...everything(), attribute: known })).toEqual([[9, 8, 11, 20, "12:34", ""]]);
  });

  test("is sent as nobody's after a day", async () => {
    await spool.count(reading("a", { [nameOf(4)]: [10, 20] }), counting());
    nowMs += 86_400_000 + minuteMs;
    expect(await usage()).toEqual([[0, undefined, 10, 20, "12:34", links[4]]]);
  });
});

describe("a batch", () => {
  test("stays as it is until it is acknowledged, and then the next one comes", async () => {
    await spool.count(reading("a", { [nameOf(0)]: [10, 0] }), counting());
    const first = await spool.next("usage", everything());
    await spool.count(reading("a", { [nameOf(0)]: [15, 0] }), counting());
    await reopen();
    uptimeMs += 5_000;
    expect(await spool.next("usage", everything())).toEqual({ ...first, ageMs: 5_000 });
    await spool.acknowledge("usage", 1);
    const second = await spool.next("usage", everything());
    expect(second).toMatchObject({ seq: 2, epoch: first?.epoch, ageMs: 0, lostFrom: undefined });
    expect(second?.request.entries[0]?.bytesUp).toBe(5n);
    await spool.acknowledge("usage", 1);
    expect((await spool.next("usage", everything()))?.seq).toBe(2);
  });

  test("has so many entries at the most, of minutes that are over", async () => {
    for (let link = 0; link < 4; link++) await spool.count(reading(`${link}`, { [nameOf(link)]: [1, 0] }), counting());
    const options = { maxEntries: 3, before: nowMs - 30_000, attribute };
    expect(await spool.next("usage", options)).toBeUndefined();
    nowMs += minuteMs;
    const over = { ...options, before: nowMs - 30_000 };
    expect((await spool.next("usage", over))?.request.entries).toHaveLength(3);
    await spool.acknowledge("usage", 1);
    expect((await spool.next("usage", over))?.request.entries).toHaveLength(1);
  });

  test("is as old as the clock of the system's run says, and after a reboot as the wall clock says", async () => {
    await spool.count(reading("a", { [nameOf(0)]: [10, 0] }), counting());
    await spool.next("usage", everything());
    nowMs -= 3_600_000; // somebody has set the clock
    uptimeMs += 7_000;
    expect((await spool.next("usage", everything()))?.ageMs).toBe(7_000);
    nowMs += 3_600_000 + 90_000;
    uptimeMs = 50;
    bootId = "another";
    await reopen();
    expect((await spool.next("usage", everything()))?.ageMs).toBe(90_000);
  });

  test("is the first of another epoch when Core does not know the one it had, with the same entries", async () => {
    await spool.count(reading("a", { [nameOf(0)]: [10, 0] }), counting());
    await spool.next("usage", everything());
    await spool.acknowledge("usage", 1);
    await spool.count(reading("a", { [nameOf(0)]: [12, 0] }), counting());
    const before = await spool.next("usage", everything());
    await spool.beginEpoch("usage");
    const after = await spool.next("usage", everything());
    expect(after).toEqual({ ...before, epoch: expect.any(String), seq: 1 });
    expect(after?.epoch).not.toBe(before?.epoch);
    await spool.acknowledge("usage", 1);
    await spool.count(reading("a", { [nameOf(0)]: [13, 0] }), counting());
    expect((await spool.next("usage", everything()))?.seq).toBe(2);
  });

  test("says which before it are lost, once", async () => {
    await spool.count(reading("a", { [nameOf(0)]: [10, 0] }), counting());
    await spool.next("usage", everything());
    await spool.declareLost("usage", 4);
    await reopen();
    expect((await spool.next("usage", everything()))?.lostFrom).toBe(4);
    await spool.acknowledge("usage", 1);
    await spool.count(reading("a", { [nameOf(0)]: [12, 0] }), counting());
    expect((await spool.next("usage", everything()))?.lostFrom).toBeUndefined();
  });

  test("of session events has them in order, and what waits is told", async () => {
    const events = Array.from({ length: 5 }, (_, index) => create(SessionEventEntrySchema, { userId: BigInt(index) }));
    await spool.note(events);
    const batch = await spool.next("sessions", { ...everything(), maxEntries: 3 });
    expect(batch?.request.events.map(({ userId }) => Number(userId))).toEqual([0, 1, 2]);
    expect(await spool.status()).toEqual([
      expect.objectContaining({ kind: "usage", lastSeq: 0, waitingEntries: 0, isSealed: false, sealedAt: undefined }),
      expect.objectContaining({ kind: "outbound_usage", lastSeq: 0, waitingEntries: 0, isSealed: false }),
      expect.objectContaining({ kind: "sessions", lastSeq: 1, waitingEntries: 2, isSealed: true, sealedAt: nowMs }),
    ]);
  });
});

describe("a batch that Core refuses as it is", () => {
  test("is taken apart, and its entries are in batches that take its number", async () => {
    for (let link = 0; link < 4; link++) await spool.count(reading(`${link}`, { [nameOf(link)]: [1, 2] }), counting());
    await spool.count(reading("i", { in: [5, 6] }, "inbound"), counting());
    expect((await spool.next("usage", everything()))?.request.entries).toHaveLength(4);
    expect([...(await spool.unacknowledged())].sort()).toEqual([201, 202, 203].map((id) => [id, 3n]));
    await spool.unseal("usage", "wait");
    const half = await spool.next("usage", { ...everything(), maxEntries: 2 });
    expect([half?.seq, half?.request.entries.length, half?.request.inbounds[0]?.bytesDown]).toEqual([1, 2, 6n]);
    await spool.acknowledge("usage", 1);
    expect((await spool.next("usage", everything()))?.request.entries).toHaveLength(2);
  });

  test("of session events keeps their order", async () => {
    const event = (id: number) => create(SessionEventEntrySchema, { userId: BigInt(id) });
    await spool.note([event(1), event(2)]);
    await spool.next("sessions", everything());
    await spool.note([event(3)]);
    await spool.unseal("sessions", "wait");
    const batch = await spool.next("sessions", everything());
    expect(batch?.request.events.map(({ userId }) => Number(userId))).toEqual([1, 2, 3]);
  });

  test("may be forgotten, and the next one takes its number", async () => {
    await spool.count(reading("a", { direct: [5, 6] }, "outbound"), counting());
    await spool.next("outbound_usage", everything());
    await spool.unseal("outbound_usage", "are forgotten");
    expect(await spool.next("outbound_usage", everything())).toBeUndefined();
    await spool.count(reading("a", { direct: [6, 6] }, "outbound"), counting());
    const next = await spool.next("outbound_usage", everything());
    expect([next?.seq, next?.request.items[0]?.bytesUp]).toEqual([1, 1n]);
  });
});

test("a file that has grown too large is made of hours, and no byte is lost", async () => {
  await reopen(200_000);
  let up = 0;
  for (let minute = 0; minute < 180; minute++) {
    const bytes: Record<string, [number, number]> = {};
    up += 1 + (minute % 5);
    for (let user = 0; user < 20; user++) bytes[`${user}.${links[user % 4]}`] = [up, 2 * up];
    await spool.count(reading("a", bytes), counting());
    nowMs += minuteMs;
  }
  const [{ waitingEntries } = { waitingEntries: 0 }] = await spool.status();
  expect(waitingEntries).toBeLessThan(180 * 20 * 0.7);
  let [sum, coarse] = [0n, 0];
  for (let seq = 1; ; seq++) {
    const batch = await spool.next("usage", everything());
    if (batch === undefined) break;
    for (const entry of batch.request.entries) {
      sum += entry.bytesUp;
      expect(entry.bytesDown).toBe(2n * entry.bytesUp);
      if (!entry.coarse) continue;
      coarse += 1;
      expect(entry.recordedAt).toMatch(/:00:00\.000Z$/);
    }
    await spool.acknowledge("usage", seq);
  }
  expect([sum, coarse > 0]).toEqual([BigInt(20 * up), true]);
});

test("only this user can read it", async () => {
  expect((await stat(file)).mode & 0o077).toBe(0);
});

test("whatever happens in whatever order, every byte is in one batch", async () => {
  const event = fc.oneof(
    fc.record({ do: fc.constant("count" as const), link: fc.nat(5), up: fc.nat(1_000), down: fc.nat(1_000) }),
    fc.constant({ do: "engine restarts" as const }),
    fc.constant({ do: "minute passes" as const }),
    fc.constant({ do: "agent restarts" as const }),
    fc.record({ do: fc.constant("send" as const), max: fc.integer({ min: 1, max: 4 }), arrives: fc.boolean() }),
    fc.constant({ do: "epoch is forgotten" as const }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 60 }), async (events) => {
      await spool.close();
      await rm(directory, { recursive: true });
      directory = await mkdtemp(join(tmpdir(), "garrison-spool-"));
      file = join(directory, "spool.db");
      await open();
      let life = 0;
      let counters: Record<string, [number, number]> = {};
      const counted = [0, 0];
      const booked = new Map<string, [number, number]>();
      const send = async (max: number, arrives: boolean) => {
        const batch = await spool.next("usage", { ...everything(), maxEntries: max });
        if (batch === undefined) return false;
        const sum = (side: "bytesUp" | "bytesDown") =>
          batch.request.entries.reduce((total, entry) => total + Number(entry[side]), 0);
        // A batch that was sent before is the same one.
        const key = `${batch.epoch}/${batch.seq}`;
        const before = booked.get(key);
        booked.set(key, [sum("bytesUp"), sum("bytesDown")]);
        if (before !== undefined) expect(booked.get(key)).toEqual(before);
        if (arrives) await spool.acknowledge("usage", batch.seq);
        else if (before === undefined) booked.delete(key); // Core never got it
        return true;
      };
      for (const each of events) {
        if (each.do === "count") {
          const before = counters[nameOf(each.link)] ?? [0, 0];
          counters[nameOf(each.link)] = [before[0] + each.up, before[1] + each.down];
          counted[0] = (counted[0] ?? 0) + each.up;
          counted[1] = (counted[1] ?? 0) + each.down;
          await spool.count(reading(`${life}`, counters), counting());
        } else if (each.do === "engine restarts") {
          life += 1;
          counters = {};
        } else if (each.do === "minute passes") nowMs += minuteMs;
        else if (each.do === "agent restarts") await reopen();
        else if (each.do === "send") await send(each.max, each.arrives);
        else await spool.beginEpoch("usage");
      }
      nowMs += 2 * 86_400_000;
      while (await send(3, true));
      const total = [...booked.values()].reduce((sum, [up, down]) => [sum[0] + up, sum[1] + down], [0, 0] as [
        number,
        number,
      ]);
      expect(total).toEqual(counted);
    }),
    { numRuns: 40 },
  );
}, 60_000);
