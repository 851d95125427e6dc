import type { StandInConfig } from "./config.ts";
import type { UserStats } from "./relay.ts";

/** What telemt says of users at `/metrics`, of no more than so many. */
export function metricsOf(config: StandInConfig, stats: ReadonlyMap<string, UserStats>, shownUsers = 4_096): string {
  const configured = Object.keys(config.access.users);
  const shown = [...stats].slice(0, shownUsers);
  const shownConfigured = configured.slice(0, shownUsers);
  const suppressed = stats.size > shown.length || configured.length > shownConfigured.length;
  const lines = [
    "# HELP telemt_telemetry_user_enabled Runtime per-user telemetry switch",
    "# TYPE telemt_telemetry_user_enabled gauge",
    "telemt_telemetry_user_enabled 1",
    `telemt_stats_user_entries ${stats.size}`,
    'telemt_rate_limiter_throttle_total{scope="user",direction="up"} 0',
  ];
  for (const [user, each] of shown) {
    lines.push(
      `telemt_user_connections_total{user="${user}"} ${each.connectionsTotal}`,
      `telemt_user_connections_current{user="${user}"} ${each.sessions.size}`,
      `telemt_user_octets_from_client{user="${user}"} ${each.octetsFromClient}`,
      `telemt_user_octets_to_client{user="${user}"} ${each.octetsToClient}`,
      `telemt_user_msgs_from_client{user="${user}"} ${each.messagesFromClient}`,
      `telemt_user_msgs_to_client{user="${user}"} ${each.messagesToClient}`,
    );
  }
  for (const user of shownConfigured) {
    const current = new Set(stats.get(user)?.sessions.values()).size;
    lines.push(
      `telemt_user_unique_ips_current{user="${user}"} ${current}`,
      `telemt_user_unique_ips_recent_window{user="${user}"} ${stats.get(user)?.recentAddresses.size ?? 0}`,
      `telemt_user_unique_ips_limit{user="${user}"} ${config.access.user_max_unique_ips[user] ?? 0}`,
      `telemt_user_unique_ips_utilization{user="${user}"} 0.000000`,
    );
  }
  const of = (family: string, emitted: number, all: number) => [
    `telemt_telemetry_user_series_users{family="${family}",status="emitted"} ${emitted}`,
    `telemt_telemetry_user_series_users{family="${family}",status="suppressed"} ${all - emitted}`,
  ];
  lines.push(
    `telemt_telemetry_user_series_suppressed ${suppressed ? 1 : 0}`,
    ...of("stats", shown.length, stats.size),
    ...of("unique_ip", shownConfigured.length, configured.length),
  );
  return `${lines.join("\n")}\n`;
}
