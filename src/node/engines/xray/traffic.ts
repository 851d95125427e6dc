import { StatsService } from "../../../../gen/xray/app/stats/command/command_pb.ts";
import type { TrafficCounter, TrafficKind } from "../engine.ts";
import type { XrayApi } from "./api.ts";
import { apiInboundTag } from "./config-sections.ts";

/** Reads the traffic counters of one kind, or all. The inbound of the API is not among them. */
export async function readCounters(
  api: XrayApi,
  kind: TrafficKind | undefined,
  timeoutMs: number,
): Promise<TrafficCounter[]> {
  const pattern = kind === undefined ? ">>>traffic>>>" : `${kind}>>>`;
  const { stat } = await api.call(StatsService.method.queryStats, { pattern }, timeoutMs);
  const counters = new Map<string, { -readonly [K in keyof TrafficCounter]: TrafficCounter[K] }>();
  for (const { name, value } of stat) {
    const parts = counterName.exec(name)?.groups;
    if (parts === undefined || (kind !== undefined && parts.kind !== kind)) continue;
    const key = `${parts.kind}>>>${parts.name}`;
    const counter = counters.get(key) ?? {
      kind: parts.kind as TrafficKind, // the expression names the three kinds
      name: parts.name ?? "",
      link: "traffic",
      uplinkBytes: 0n,
      downlinkBytes: 0n,
    };
    counter[parts.direction === "uplink" ? "uplinkBytes" : "downlinkBytes"] = value;
    counters.set(key, counter);
  }
  counters.delete(`inbound>>>${apiInboundTag}`);
  return [...counters.values()];
}

// E-mails and tags may contain the separator.
const counterName = /^(?<kind>user|inbound|outbound)>>>(?<name>.+)>>>traffic>>>(?<direction>uplink|downlink)$/s;
