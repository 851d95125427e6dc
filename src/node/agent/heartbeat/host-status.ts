import { readFile, statfs } from "node:fs/promises";
import { loadavg } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type HostStatus, HostStatusSchema } from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import type { SystemStats } from "../../runtime/system-stats.ts";

/** Options of {@link readHostStatus}. */
export interface HostStatusOptions {
  readonly system: Pick<SystemStats, "current">;
  /** A directory on the disk that is measured. */
  readonly directory: string;
  /** Where the kernel tells about the machine. Default: `/proc`. */
  readonly procPath?: string;
}

/** Measures of this machine. What it does not tell is absent. Never rejects. */
export async function readHostStatus(options: HostStatusOptions): Promise<HostStatus> {
  const { system, directory, procPath = "/proc" } = options;
  const measures = system.current();
  const numbers = async (file: string) => {
    const text = await readFile(join(procPath, file), "latin1").catch(() => "");
    return text
      .split(/\s+/)
      .filter((word) => /^\d+$/.test(word))
      .map(BigInt);
  };
  const [[conntrackUsed], [conntrackLimit], [opened, freed = 0n], disk] = await Promise.all([
    numbers("sys/net/netfilter/nf_conntrack_count"),
    numbers("sys/net/netfilter/nf_conntrack_max"),
    numbers("sys/fs/file-nr"),
    statfs(directory, { bigint: true }).catch(() => undefined),
  ]);
  return create(HostStatusSchema, {
    cpuPercent: measures.cpuUsage,
    load1m: loadavg()[0],
    ...(measures.memTotal > 0n && { memoryTotalBytes: measures.memTotal, memoryUsedBytes: measures.memUsed }),
    ...(disk && { diskTotalBytes: disk.blocks * disk.bsize, diskUsedBytes: (disk.blocks - disk.bfree) * disk.bsize }),
    receiveBytesPerSecond: measures.incomingBandwidthSpeed,
    sendBytesPerSecond: measures.outgoingBandwidthSpeed,
    ...(conntrackUsed !== undefined && { conntrackUsed }),
    ...(conntrackLimit !== undefined && { conntrackLimit }),
    ...(opened !== undefined && { openFiles: opened - freed }),
  });
}
