import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import type { SystemStatsResponse } from "../../../gen/service/node_pb.ts";
import type { Clock } from "./clock.ts";

/** Measures of this machine, as the contract has them; the uptime is the engine's and not here. */
type SystemMeasures = Omit<SystemStatsResponse, "uptime" | "$typeName" | "$unknown">;

/** Options of {@link createSystemStats}. */
export interface SystemStatsOptions {
  clock: Clock;
  /** Where the kernel tells about the machine. Default: `/proc`. */
  procPath?: string;
}

/** Measures this machine. */
export interface SystemStats {
  /** Memory as it was within the last second; processors and network over the last second, zero during the first one. */
  current(): SystemMeasures;
  /** Ends measuring; the last measures stay. */
  close(): void;
}

/** Measures now and every second. What the kernel does not tell is zero; there is at least one processor. */
export function createSystemStats({ clock, procPath = "/proc" }: SystemStatsOptions): SystemStats {
  const read = <T>(file: string, parse: (text: string) => T): T | undefined => {
    try {
      return parse(readFileSync(join(procPath, file), "utf8"));
    } catch {
      return undefined;
    }
  };
  const take = () => ({
    at: clock.now(),
    memory: read("meminfo", parseMemory),
    cpu: read("stat", parseCpu),
    network: read("net/dev", parseNetwork),
  });

  let last = take();
  let usage = 0;
  let speed = { received: 0n, sent: 0n };
  const stop = clock.every(1_000, () => {
    const now = take();
    const seconds = (now.at - last.at) / 1_000;
    if (seconds <= 0) return;
    usage = last.cpu && now.cpu ? cpuUsage(last.cpu, now.cpu) : 0;
    speed = last.network && now.network ? networkSpeed(last.network, now.network, seconds) : { received: 0n, sent: 0n };
    last = now;
  });

  return {
    current: () => ({
      memTotal: last.memory?.total ?? 0n,
      memUsed: last.memory?.used ?? 0n,
      cpuCores: BigInt(last.cpu?.cores || cpus().length || 1),
      cpuUsage: usage,
      incomingBandwidthSpeed: speed.received,
      outgoingBandwidthSpeed: speed.sent,
    }),
    close: stop,
  };
}

/** Bytes of memory, from `/proc/meminfo`. Buffers and caches, which the kernel gives back when asked, are not in use. */
export function parseMemory(text: string): { total: bigint; used: bigint } {
  const bytes = new Map<string, bigint>();
  for (const [, name = "", kibibytes = "0"] of text.matchAll(/^(\w+):\s+(\d+) kB$/gm)) {
    bytes.set(name, BigInt(kibibytes) * 1024n);
  }
  const of = (name: string) => bytes.get(name) ?? 0n;
  const used = of("MemTotal") - of("MemFree") - of("Buffers") - of("Cached") - of("SReclaimable");
  return { total: of("MemTotal"), used: used > 0n ? used : 0n };
}

/** Time of all processors since the machine started, in ticks, and their number, from `/proc/stat`. */
export interface CpuTimes {
  readonly busy: number;
  readonly total: number;
  readonly cores: number;
}

/** Reads `/proc/stat`: `cpu user nice system idle iowait irq softirq steal …`; what follows is in the first two. */
export function parseCpu(text: string): CpuTimes {
  const [, all = ""] = /^cpu +(.*)$/m.exec(text) ?? [];
  const ticks = all.split(" ").slice(0, 8).map(Number);
  const total = ticks.reduce((sum, ticksOfKind) => sum + ticksOfKind, 0);
  const [, , , idle = 0, waiting = 0] = ticks;
  return { busy: total - idle - waiting, total, cores: text.match(/^cpu\d+ /gm)?.length ?? 0 };
}

/** Percent of all processors that were busy between two readings, 0 to 100. */
export function cpuUsage(before: CpuTimes, after: CpuTimes): number {
  const total = after.total - before.total;
  const percent = total > 0 ? ((after.busy - before.busy) / total) * 100 : 0;
  // The kernel's counters of idle time are known to go back a little.
  return Math.min(Math.max(percent, 0), 100);
}

/** Bytes since an interface came up. */
export interface InterfaceBytes {
  readonly received: bigint;
  readonly sent: bigint;
}

/** The interfaces by name, without loopback, from `/proc/net/dev`: after the name 8 columns of received, 8 of sent. */
export function parseNetwork(text: string): ReadonlyMap<string, InterfaceBytes> {
  const interfaces = new Map<string, InterfaceBytes>();
  for (const [, name = "", columns = ""] of text.matchAll(/^ *([^\s:|]+): *(\d.*)$/gm)) {
    const [received = "0", , , , , , , , sent = "0"] = columns.split(/\s+/);
    if (name !== "lo") interfaces.set(name, { received: BigInt(received), sent: BigInt(sent) });
  }
  return interfaces;
}

/** Bytes a second between two readings, over the interfaces that are in both. One that began anew counts from zero. */
export function networkSpeed(
  before: ReadonlyMap<string, InterfaceBytes>,
  after: ReadonlyMap<string, InterfaceBytes>,
  seconds: number,
): InterfaceBytes {
  let received = 0n;
  let sent = 0n;
  for (const [name, now] of after) {
    const then = before.get(name);
    if (then === undefined) continue;
    received += now.received >= then.received ? now.received - then.received : now.received;
    sent += now.sent >= then.sent ? now.sent - then.sent : now.sent;
  }
  const perSecond = (bytes: bigint) => BigInt(Math.round(Number(bytes) / seconds));
  return { received: perSecond(received), sent: perSecond(sent) };
}
