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
    if (number === counters.length) counters.push(counterOf(stats, direction, kind));
    const counter = counters[number];
    if (counter !== undefined) counter[isUplink ? "uplinkBytes" : "downlinkBytes"] = stats.value;
    const turn = pause();
    if (turn !== undefined) await turn;
  }
  return counters.filter((counter) => counter !== undefined);
}

type Counter = { -readonly [K in keyof TrafficCounter]: TrafficCounter[K] };

const uplink = ">>>traffic>>>uplink";
const downlink = ">>>traffic>>>downlink";

/**
 * Of what the counter is that was read, which ends with this direction. Undefined where it is of another kind than the
 * one that is wanted, if any, or of the API. E-mails and tags may contain what separates them from the rest.
 */
function counterOf(stats: StatsReader, direction: string, wanted: TrafficKind | undefined): Counter | undefined {
  const of = kinds.find(({ prefix }) => stats.nameStartsWith(prefix));
  if (of === undefined || (wanted !== undefined && of.kind !== wanted)) return undefined;
  const name = stats.nameWithout(of.prefix.length, direction.length);
  if (name === "" || (of.kind === "inbound" && name === apiInboundTag)) return undefined;
  return { kind: of.kind, name, link: "traffic", uplinkBytes: 0n, downlinkBytes: 0n };
}

const kinds = (["user", "inbound", "outbound"] as const).map((kind) => ({ kind, prefix: `${kind}>>>` }));
