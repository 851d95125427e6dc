/** What telemt counts of a user, by its metrics. */
interface UserMetrics {
  readonly uplinkBytes: bigint;
  readonly downlinkBytes: bigint;
  readonly connections: number;
}

/** Counters of users, as they stood at one moment. */
export interface Metrics {
  /** By name. Who was never connected is absent. */
  readonly users: ReadonlyMap<string, UserMetrics>;
  /** There are more users than telemt shows: others may have counters, too. */
  readonly suppressed: boolean;
}

/** Reads what `/metrics` says. Undefined when this is not what telemt says. */
export function parseMetrics(text: string): Metrics | undefined {
  const users = new Map<string, { uplinkBytes: bigint; downlinkBytes: bigint; connections: number }>();
  let counts: string | undefined;
  let suppressed = false;
  let suppressedUsers: string | undefined;
  for (const line of text.split("\n")) {
    if (!line.startsWith(prefix)) continue;
    const [, name, labels = "", value = ""] = samplePattern.exec(line) ?? [];
    if (name === "telemetry_user_enabled") counts = value;
    else if (name === "telemetry_user_series_suppressed") suppressed = value !== "0";
    else if (name === "telemetry_user_series_users" && labels === suppressedCounters) suppressedUsers = value;
    else if (name !== undefined && userSeries.has(name)) {
      const user = /^user="([\w.-]+)"$/.exec(labels)?.[1];
      if (user === undefined || !/^\d+$/.test(value)) return undefined;
      const counted = users.get(user) ?? { uplinkBytes: 0n, downlinkBytes: 0n, connections: 0 };
      users.set(user, counted);
      if (name === "user_octets_from_client") counted.uplinkBytes = BigInt(value);
      else if (name === "user_octets_to_client") counted.downlinkBytes = BigInt(value);
      else counted.connections = Number(value);
    }
  }
  // Half an answer, or one of a telemt that does not count, would look as if nobody had used anything.
  if (counts !== "1") return undefined;
  // It also says that something is left out when these are only addresses.
  return { users, suppressed: suppressed && suppressedUsers !== "0" };
}

const suppressedCounters = 'family="stats",status="suppressed"';

const prefix = "telemt_";
const samplePattern = /^telemt_(\w+)(?:\{([^}]*)\})? (\S+)$/;
const userSeries: ReadonlySet<string> = new Set([
  "user_octets_from_client",
  "user_octets_to_client",
  "user_connections_current",
]);
