import type { Latency } from "../../../gen/service/node_pb.ts";
import { EngineUnreachable } from "../engines/engine-error.ts";
import type { BackendEngine } from "./backend.ts";
import { LatencyUnavailable } from "./situations.ts";

/**
 * What engines measured of the way out, sorted by name; with a name: of this one, if it is measured.
 *
 * @throws LatencyUnavailable when none of them tells
 */
export async function readLatencies(
  backends: readonly Pick<BackendEngine, "whileRunning">[],
  name?: string,
): Promise<Latency[]> {
  const told = await Promise.allSettled(backends.map(readOf));
  const latencies = told.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const failed = told.find((each) => each.status === "rejected");
  if (latencies.length === 0 && failed !== undefined) throw failed.reason;
  return latencies
    .flat()
    .filter((latency) => name === undefined || latency.name === name)
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}

async function readOf(backend: Pick<BackendEngine, "whileRunning">): Promise<Latency[]> {
  const latencies = await backend
    .whileRunning((engine) => engine.latencies())
    .catch((error: unknown) => {
      if (!(error instanceof EngineUnreachable)) throw error;
      throw new LatencyUnavailable(`read xray observatory: ${error.message}`);
    });
  if (latencies === undefined) throw new LatencyUnavailable("xray outbound latency is not available");
  return latencies;
}
