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
  // By the number of their names; undefined where it is no traffic that was asked for.
  const counters: (Counter | undefined)[] = [];
  const pause = createPause();
  while (stats.next()) {
    const isUplink = stats.nameEndsWith(uplink);
    if (!isUplink && !stats.nameEndsWith(downlink)) continue;
    const direction = isUplink ? uplink : downlink;
    const number = stats.numberWithout(direction.length);
    if (number === counters.length) counters.push(counterOf(stats.nameWithout(direction.length), kind));
    const counter = counters[number];
    if (counter !== undefined) counter[isUplink ? "uplinkBytes" : "downlinkBytes"] = stats.value;
    const turn = pause();
    if (turn !== undefined) await turn;
  }
  return counters.filter((counter) => counter !== undefined);
}

type Counter = { -readonly [K in keyof TrafficCounter]: TrafficCounter[K] };

// Names are not taken apart by an expression: there may be a hundred thousand of them.
const separator = ">>>";
const uplink = ">>>traffic>>>uplink";
const downlink = ">>>traffic>>>downlink";

/**
 * Of what a counter is that has this before its direction. Undefined where it is of another kind than the one that is
 * wanted, if any, or of the API. E-mails and tags may contain the separator.
 */
function counterOf(key: string, wanted: TrafficKind | undefined): Counter | undefined {
  const end = key.indexOf(separator);
  const kind = kinds.find((each) => each.length === end && key.startsWith(each));
  const name = key.slice(end + separator.length);
  if (kind === undefined || (wanted !== undefined && kind !== wanted) || name === "") return undefined;
  if (kind === "inbound" && name === apiInboundTag) return undefined;
  return { kind, name, link: "traffic", uplinkBytes: 0n, downlinkBytes: 0n };
}

const kinds: readonly TrafficKind[] = ["user", "inbound", "outbound"];
