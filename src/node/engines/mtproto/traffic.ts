import type { TelemtApi } from "./api.ts";
import type { Sample, UserCount } from "./counters.ts";

/** What telemt has counted, and who is connected, as it stood at one moment. */
export interface TrafficSample extends Sample {
  /** Live connections by name. Who has none is absent. */
  readonly connections: ReadonlyMap<string, number>;
}

/**
 * Reads what telemt has counted. Of more than 4,096 users its metrics leave some out: of those only the sum of both
 * directions is known.
 */
export async function readSample(api: TelemtApi): Promise<TrafficSample> {
  const { users: shown, suppressed } = await api.metrics();
  const users = new Map<string, UserCount>(shown);
  const connections = new Map<string, number>();
  for (const [name, user] of shown) if (user.connections > 0) connections.set(name, user.connections);
  if (!suppressed) return { users, connections, complete: true };
  for (const { name, totalBytes, connections: live } of await api.users()) {
    if (live > 0) connections.set(name, live);
    if (!users.has(name)) users.set(name, { totalBytes });
  }
  return { users, connections, complete: false };
}
