import type { Latency } from "../../../gen/service/node_pb.ts";
import type { Engine } from "../engines/engine.ts";
import { EngineUnreachable } from "../engines/engine-error.ts";
import { LatencyUnavailable } from "./situations.ts";

/**
 * What an engine measured of its outbounds, sorted by name; with a name: of this one, if it is measured.
 *
 * @throws LatencyUnavailable
 */
export async function readLatencies(engine: Pick<Engine, "latencies">, name?: string): Promise<Latency[]> {
  const latencies = await engine.latencies().catch((error: unknown) => {
    if (!(error instanceof EngineUnreachable)) throw error;
    throw new LatencyUnavailable(`read xray observatory: ${error.message}`);
  });
  if (latencies === undefined) throw new LatencyUnavailable("xray outbound latency is not available");
  return latencies
    .filter((latency) => name === undefined || latency.name === name)
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}
