import { StatsService } from "../../../../gen/xray/app/stats/command/command_pb.ts";
import type { TrafficCounter, TrafficKind } from "../engine.ts";
import { createPause } from "../pause.ts";
import type { XrayApi } from "./api.ts";
import { ByteNames } from "./byte-names.ts";
import { apiInboundTag } from "./config-sections.ts";
import { StatsReader } from "./stats-reader.ts";

/** Reads the traffic counters of one kind, or all. The inbound of the API is not among them. */
export type ReadCounters = (kind: TrafficKind | undefined, timeoutMs: number) => Promise<TrafficCounter[]>;

/**
 * Makes what reads the counters of one Xray. Many counters take a while, in which others have their turn. What they are
 * called is remembered from one reading to the next, so that there is nothing new to look up for it.
 */
export function createCounterReader(api: XrayApi): ReadCounters {
  let known = new KnownCounters();
  return async (kind, timeoutMs) => {
    const pattern = kind === undefined ? ">>>traffic>>>" : `${kind}>>>`;
    const stats = new StatsReader(await api.callRaw(StatsService.method.queryStats, { pattern }, timeoutMs));
    const counters = await readAll(stats, kind, known);
    // What is not counted any more is not remembered for ever.
    if (kind !== "inbound" && kind !== "outbound" && known.count > 2 * counters.length + fewNames)
      known = new KnownCounters();
    return counters;
  };
}

const fewNames = 1_000;

async function readAll(
  stats: StatsReader,
  kind: TrafficKind | undefined,
  known: KnownCounters,
): Promise<TrafficCounter[]> {
  const counters: Counter[] = [];
  // By the numbers of their names.
  const found = new Array<Counter | undefined>(known.count).fill(undefined);
  const pause = createPause();
  while (stats.next()) {
    const isUplink = stats.nameEndsWith(uplink);
    if (!isUplink && !stats.nameEndsWith(downlink)) continue;
    const number = known.numberOf(stats, isUplink ? uplink : downlink);
    const about = known.about(number);
    if (about === undefined || (kind !== undefined && about.kind !== kind)) continue;
    let counter = found[number];
    if (counter === undefined) {
      counter = { kind: about.kind, name: about.name, link: "traffic", uplinkBytes: 0n, downlinkBytes: 0n };
      while (found.length < number) found.push(undefined);
      found[number] = counter;
      counters.push(counter);
    }
    counter[isUplink ? "uplinkBytes" : "downlinkBytes"] = stats.value;
    const turn = pause();
    if (turn !== undefined) await turn;
  }
  return counters;
}

type Counter = { -readonly [K in keyof TrafficCounter]: TrafficCounter[K] };
type About = Pick<TrafficCounter, "kind" | "name">;

const uplink = ">>>traffic>>>uplink";
const downlink = ">>>traffic>>>downlink";

/** What counters were seen to be of. */
class KnownCounters {
  readonly #names = new ByteNames();
  readonly #abouts: (About | undefined)[] = [];

  get count(): number {
    return this.#names.count;
  }

  /** The number of the counter that was read, which ends with this direction: that of the other direction, too. */
  numberOf(stats: StatsReader, direction: string): number {
    const number = stats.numberWithout(direction.length, this.#names);
    if (number === this.#abouts.length) this.#abouts.push(aboutOf(stats, direction));
    return number;
  }

  /** Undefined where it is no traffic of something, or of the API. */
  about(number: number): About | undefined {
    return this.#abouts[number];
  }
}

/** E-mails and tags may contain what separates them from the rest. */
function aboutOf(stats: StatsReader, direction: string): About | undefined {
  const of = kinds.find(({ prefix }) => stats.nameStartsWith(prefix));
  if (of === undefined) return undefined;
  const name = stats.nameWithout(of.prefix.length, direction.length);
  if (name === "" || (of.kind === "inbound" && name === apiInboundTag)) return undefined;
  return { kind: of.kind, name };
}

const kinds = (["user", "inbound", "outbound"] as const).map((kind) => ({ kind, prefix: `${kind}>>>` }));
