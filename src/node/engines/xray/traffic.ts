import { StatsService } from "../../../../gen/xray/app/stats/command/command_pb.ts";
import type { TrafficCounter, TrafficKind } from "../engine.ts";
import type { XrayApi } from "./api.ts";
import { apiInboundTag } from "./config-sections.ts";
import { createPause } from "./pause.ts";
import { StatsReader } from "./stats-reader.ts";

/**
 * Reads the traffic counters of one kind, or all. The inbound of the API is not among them. Many counters take a while,
 * in which others have their turn.
 */
export async function readCounters(
  api: XrayApi,
  kind: TrafficKind | undefined,
  timeoutMs: number,
): Promise<TrafficCounter[]> {
  const pattern = kind === undefined ? ">>>traffic>>>" : `${kind}>>>`;
  const stats = new StatsReader(await api.callRaw(StatsService.method.queryStats, { pattern }, timeoutMs));
  const counters = new Map<string, Counter>();
  const pause = createPause();
  while (stats.next()) {
    const isUplink = stats.nameEndsWith(uplink);
    if (!isUplink && !stats.nameEndsWith(downlink)) continue;
    const key = stats.nameWithout((isUplink ? uplink : downlink).length);
    let counter = counters.get(key);
    if (counter === undefined) {
      counter = counterOf(key);
      if (counter === undefined || (kind !== undefined && counter.kind !== kind)) continue;
      counters.set(key, counter);
    }
    counter[isUplink ? "uplinkBytes" : "downlinkBytes"] = stats.value;
    const turn = pause();
    if (turn !== undefined) await turn;
  }
  counters.delete(`inbound>>>${apiInboundTag}`);
  return [...counters.values()];
}

type Counter = { -readonly [K in keyof TrafficCounter]: TrafficCounter[K] };

// Names are not taken apart by an expression: there may be a hundred thousand of them.
const separator = ">>>";
const uplink = ">>>traffic>>>uplink";
const downlink = ">>>traffic>>>downlink";

/** Of what a counter is that has this before its direction. E-mails and tags may contain the separator. */
function counterOf(key: string): Counter | undefined {
  const end = key.indexOf(separator);
  const kind = kinds.find((each) => each === key.slice(0, Math.max(0, end)));
  const name = key.slice(end + separator.length);
  if (kind === undefined || name === "") return undefined;
  return { kind, name, link: "traffic", uplinkBytes: 0n, downlinkBytes: 0n };
}

const kinds: readonly TrafficKind[] = ["user", "inbound", "outbound"];
