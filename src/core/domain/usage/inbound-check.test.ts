import { afterEach, expect, test } from "vitest";
import { InboundCheck, type InboundDay } from "./inbound-check.ts";

const day = 86_400_000;
const mib = 1024n * 1024n;
let check: InboundCheck;
afterEach(() => check.close());

test("a day that is over is looked at once, and what drifts is told", async () => {
  const clock = { now: 20 * day + 5 };
  const asked: number[] = [];
  const warned: object[] = [];
  const inbound = (nodeId: number, inboundBytes: bigint): InboundDay => ({
    ...{ nodeId, nodeProtocolId: 7, inboundBytes, userBytes: 100n * mib },
  });
  check = new InboundCheck({
    days: async (of) => {
      asked.push(of / day);
      return asked.length === 1 ? [inbound(1, 101n * mib), inbound(2, 200n * mib), inbound(3, 10n * mib)] : [];
    },
    now: () => clock.now,
    log: { warn: (details) => void warned.push(details) },
  });
  await check.check();
  await check.check();
  expect([asked, check.drifting]).toEqual([[19], 2]);
  expect(warned).toMatchObject([{ day: "1970-01-20", inbounds: 2, shown: [{ nodeId: 2 }, { nodeId: 3 }] }]);
  clock.now += day;
  await check.check();
  expect([asked, check.drifting, warned.length]).toEqual([[19, 20], 0, 1]);
});

test("what cannot be looked at is told, and tried again", async () => {
  const warned: string[] = [];
  let tries = 0;
  check = new InboundCheck({
    days: () => {
      tries += 1;
      return Promise.reject(new Error("busy"));
    },
    now: () => 20 * day,
    log: { warn: (_, message) => void warned.push(message) },
  });
  await check.check();
  await check.check();
  expect([tries, warned.length]).toEqual([2, 2]);
});
