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
  const users = new Map<string, Counted>();
  let counts: string | undefined;
  let suppressed = false;
  let suppressedUsers: string | undefined;
  for (const line of text.split("\n")) {
    if (line.startsWith("telemt_user_")) {
      if (!readCounter(line, users)) return undefined;
    } else if (line.startsWith("telemt_telemetry_user_")) {
      const value = line.slice(line.lastIndexOf(" ") + 1);
      if (line.startsWith("telemt_telemetry_user_enabled ")) counts = value;
      else if (line.startsWith("telemt_telemetry_user_series_suppressed ")) suppressed = value !== "0";
      else if (line.startsWith(suppressedCounters)) suppressedUsers = value;
    }
  }
  // Half an answer, or one of a telemt that does not count, would look as if nobody had used anything.
  if (counts !== "1") return undefined;
  // It also says that something is left out when these are only addresses.
  return { users, suppressed: suppressed && suppressedUsers !== "0" };
}

const suppressedCounters = 'telemt_telemetry_user_series_users{family="stats",status="suppressed"} ';

interface Counted {
  uplinkBytes: bigint;
  downlinkBytes: bigint;
  connections: number;
}

/** Takes in a line about a user, if it is one of those that count; false: it cannot be understood. */
function readCounter(line: string, users: Map<string, Counted>): boolean {
  const series = countedSeries.find(({ prefix }) => line.startsWith(prefix));
  if (series === undefined) return true;
  const end = line.indexOf('"', series.prefix.length);
  const user = line.slice(series.prefix.length, end);
  const value = line.slice(end + '"} '.length);
  if (line.slice(end, end + '"} '.length) !== '"} ' || !/^\d+$/.test(value)) return false;
  let counted = users.get(user);
  if (counted === undefined) {
    counted = { uplinkBytes: 0n, downlinkBytes: 0n, connections: 0 };
    users.set(user, counted);
  }
  series.take(counted, value);
  return true;
}

const countedSeries: readonly { prefix: string; take(counted: Counted, value: string): void }[] = [
  {
    prefix: 'telemt_user_octets_from_client{user="',
    take(counted, value) {
      counted.uplinkBytes = BigInt(value);
    },
  },
  {
    prefix: 'telemt_user_octets_to_client{user="',
    take(counted, value) {
      counted.downlinkBytes = BigInt(value);
    },
  },
  {
    prefix: 'telemt_user_connections_current{user="',
    take(counted, value) {
      counted.connections = Number(value);
    },
  },
];
