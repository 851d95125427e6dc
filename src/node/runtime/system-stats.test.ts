import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { createManualClock } from "../../../test/support/manual-clock.ts";
import { systemClock } from "./clock.ts";
import {
  cpuUsage,
  createSystemStats,
  networkSpeed,
  parseCpu,
  parseMemory,
  parseNetwork,
  type SystemStats,
} from "./system-stats.ts";

const meminfo = `MemTotal:        8000000 kB
MemFree:         1000000 kB
MemAvailable:    6000000 kB
Buffers:          100000 kB
Cached:          2000000 kB
SwapCached:         5000 kB
SReclaimable:     400000 kB
HugePages_Total:       0
`;
const stat = (busy: number, idle: number) => `cpu  ${busy} 0 0 ${idle} 0 0 0 0 5 0
cpu0 ${busy} 0 0 ${idle} 0 0 0 0 5 0
cpu1 0 0 0 0 0 0 0 0 0 0
intr 123 4 5
ctxt 99
`;
const netDev = (interfaces: Record<string, [received: number | bigint, sent: number | bigint]>) =>
  `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
${Object.entries(interfaces)
  .map(
    ([name, [received, sent]]) =>
      `${name.padStart(6)}: ${received} 11 12 13 14 15 16 17 ${sent} 21 22 23 24 25 26 27\n`,
  )
  .join("")}`;

describe("memory", () => {
  test.each([
    { what: "without free, buffers and caches", text: meminfo, total: 8_000_000n, used: 4_500_000n },
    {
      what: "of a kernel that reclaims nothing",
      text: meminfo.replace(/SRec.*\n/, ""),
      total: 8_000_000n,
      used: 4_900_000n,
    },
    { what: "never less than nothing", text: "MemTotal: 10 kB\nMemFree: 4 kB\nCached: 9 kB\n", total: 10n, used: 0n },
    { what: "that nobody tells", text: "", total: 0n, used: 0n },
  ])("$what", ({ text, total, used }) => {
    expect(parseMemory(text)).toEqual({ total: total * 1024n, used: used * 1024n });
  });
});

describe("processors", () => {
  test("time is busy but for idle and waiting for disks; time of guests is in the user's already", () => {
    const text = "cpu  1 2 4 8 16 32 64 128 256 512\ncpu0 1 2 4 8 16 32 64 128 256 512\ncpu1 0 0 0 0 0 0 0 0 0 0\n";
    expect(parseCpu(text)).toEqual({ busy: 231, total: 255, cores: 2 });
    expect(parseCpu("")).toEqual({ busy: 0, total: 0, cores: 0 });
  });

  test.each([
    { busy: 0, total: 200, percent: 0 },
    { busy: 50, total: 200, percent: 25 },
    { busy: 200, total: 200, percent: 100 },
    { busy: 201, total: 200, percent: 100 },
    { busy: -3, total: 200, percent: 0 },
    { busy: 0, total: 0, percent: 0 },
  ])("$busy ticks of $total are $percent %", ({ busy, total, percent }) => {
    const after = { busy: 1_000 + busy, total: 5_000 + total, cores: 2 };
    expect(cpuUsage({ busy: 1_000, total: 5_000, cores: 2 }, after)).toBe(percent);
  });
});

describe("the network", () => {
  test("is all interfaces but loopback, whatever their names and however large their counters", () => {
    const large = 18_446_744_073_709_551_615n;
    const text = netDev({ lo: [5, 6], eth0: [1, 2], "wg-1.5": [3, large] }).replace(" eth0: 1", " eth0:1");
    expect(Object.fromEntries(parseNetwork(text))).toEqual({
      eth0: { received: 1n, sent: 2n },
      "wg-1.5": { received: 3n, sent: large },
    });
    expect(parseNetwork("").size).toBe(0);
  });

  test.each([
    { what: "grows", before: { a: [10, 20] }, after: { a: [110, 220] }, seconds: 1, speed: [100n, 200n] },
    { what: "is measured late", before: { a: [10, 20] }, after: { a: [110, 220] }, seconds: 2, speed: [50n, 100n] },
    { what: "has a new interface", before: {}, after: { a: [500, 500] }, seconds: 1, speed: [0n, 0n] },
    {
      what: "has lost an interface",
      before: { a: [9, 9], b: [1, 1] },
      after: { b: [3, 4] },
      seconds: 1,
      speed: [2n, 3n],
    },
    {
      what: "has an interface that began anew",
      before: { a: [900, 900] },
      after: { a: [7, 8] },
      seconds: 1,
      speed: [7n, 8n],
    },
  ] as const)("that $what", ({ before, after, seconds, speed: [received, sent] }) => {
    const read = (interfaces: object) => parseNetwork(netDev(interfaces as Parameters<typeof netDev>[0]));
    expect(networkSpeed(read(before), read(after), seconds)).toEqual({ received, sent });
  });
});

describe("a machine", () => {
  function machine() {
    const procPath = mkdtempSync(join(tmpdir(), "garrison-proc-"));
    mkdirSync(join(procPath, "net"));
    onTestFinished(() => rmSync(procPath, { recursive: true, force: true }));
    const tell = (file: string, text: string) => writeFileSync(join(procPath, file), text);
    tell("meminfo", meminfo);
    tell("stat", stat(1_000, 1_000));
    tell("net/dev", netDev({ lo: [7, 7], eth0: [1_000, 1_000] }));
    const clock = createManualClock();
    const start = () => createSystemStats({ clock, procPath });
    const forget = (file: string) => rmSync(join(procPath, file));
    return { clock, tell, forget, start };
  }
  const atOnce = {
    memTotal: 8_192_000_000n,
    memUsed: 4_608_000_000n,
    cpuCores: 2n,
    cpuUsage: 0,
    incomingBandwidthSpeed: 0n,
    outgoingBandwidthSpeed: 0n,
  };

  test("tells memory and processors at once, and the rest after a second, every second", () => {
    const { clock, tell, start } = machine();
    const stats = start();
    expect(stats.current()).toEqual(atOnce);
    tell("stat", stat(1_030, 1_070));
    tell("net/dev", netDev({ lo: [9_999, 9_999], eth0: [51_000, 21_000] }));
    tell("meminfo", meminfo.replace("1000000", "2000000"));
    clock.advance(1_000);
    expect(stats.current()).toEqual({
      ...atOnce,
      memUsed: 3_584_000_000n,
      cpuUsage: 30,
      incomingBandwidthSpeed: 50_000n,
      outgoingBandwidthSpeed: 20_000n,
    });
    clock.advance(1_000);
    expect(stats.current()).toMatchObject({ cpuUsage: 0, incomingBandwidthSpeed: 0n, outgoingBandwidthSpeed: 0n });
  });

  test("that stops telling something is zero there, and is heard again when it tells again", () => {
    const { clock, tell, forget, start } = machine();
    const stats = start();
    forget("net/dev");
    forget("meminfo");
    tell("stat", "nonsense");
    clock.advance(1_000);
    const { cpuCores, ...rest } = stats.current();
    expect(cpuCores).toBeGreaterThan(0n);
    expect(rest).toEqual({
      memTotal: 0n,
      memUsed: 0n,
      cpuUsage: 0,
      incomingBandwidthSpeed: 0n,
      outgoingBandwidthSpeed: 0n,
    });
    tell("net/dev", netDev({ eth0: [5_000, 5_000] }));
    clock.advance(1_000);
    tell("net/dev", netDev({ eth0: [5_100, 5_000] }));
    clock.advance(1_000);
    expect(stats.current().incomingBandwidthSpeed).toBe(100n);
  });

  test("is not measured any more once it was closed", () => {
    const { clock, tell, start } = machine();
    const stats: SystemStats = start();
    stats.close();
    tell("stat", stat(2_000, 1_000));
    clock.advance(5_000);
    expect(stats.current()).toEqual(atOnce);
    expect(clock.timers).toBe(0);
  });

  test.runIf(process.platform === "linux")("such as this one is measured within 3 s", async () => {
    const stats = createSystemStats({ clock: systemClock });
    onTestFinished(() => stats.close());
    const busyUntil = performance.now() + 1_100;
    while (performance.now() < busyUntil);
    await expect.poll(() => stats.current().cpuUsage, { timeout: 1_500 }).toBeGreaterThan(0);
    const { memTotal, memUsed, cpuCores, cpuUsage } = stats.current();
    expect(memTotal).toBe(BigInt(totalmem()));
    expect(memUsed).toBeGreaterThan(0n);
    expect(memUsed).toBeLessThan(memTotal);
    expect(cpuCores).toBeGreaterThan(0n);
    expect(cpuUsage).toBeLessThanOrEqual(100);
  });
});
