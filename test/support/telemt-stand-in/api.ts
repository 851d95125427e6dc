import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { loadConfig, type StandInConfig } from "./config.ts";
import type { UserStats } from "./relay.ts";

/** What the API tells of. */
export interface ApiSubject {
  readonly configPath: string;
  readonly startedAtMs: number;
  readonly version: string;
  /** The config in force. */
  readonly runtime: StandInConfig;
  readonly notReady: string | undefined;
  readonly reloads: { readonly count: number; readonly lastAtMs: number | undefined };
  readonly relay: {
    readonly stats: ReadonlyMap<string, UserStats>;
    readonly connectionsTotal: number;
    readonly connectionsBad: number;
  };
}

/** An answer: status and body. */
export type ApiAnswer = readonly [number, unknown];

/** Answers as telemt 3.4.25 does, of what can be asked without changing anything. */
export function answerApi(request: IncomingMessage, subject: ApiSubject, requestId: number): ApiAnswer {
  const refuse = (status: number, code: string, message: string): ApiAnswer => [
    status,
    { ok: false, error: { code, message }, request_id: requestId },
  ];
  const { auth_header: expected, read_only: readOnly } = subject.runtime.server.api;
  if (expected !== "" && request.headers.authorization !== expected)
    return refuse(401, "unauthorized", "Missing or invalid Authorization header");
  const path = (request.url ?? "").split("?")[0] ?? "";
  if (request.method !== "GET")
    return readOnly
      ? refuse(403, "read_only", "API runs in read-only mode")
      : refuse(405, "method_not_allowed", "Unsupported HTTP method for this route");
  let found: unknown;
  try {
    found = read(path, subject);
  } catch (error) {
    return refuse(500, "internal_error", `failed to load config: ${error instanceof Error ? error.message : error}`);
  }
  if (found === undefined) {
    const isUser = path.startsWith("/v1/users/");
    return refuse(404, "not_found", isUser ? "User not found" : "Route not found");
  }
  const status = path === "/v1/health/ready" && subject.notReady !== undefined ? 503 : 200;
  return [status, { ok: true, data: found, revision: hashOf(subject.configPath) }];
}

function read(path: string, subject: ApiSubject): unknown {
  const { relay, startedAtMs } = subject;
  const uptime = (Date.now() - startedAtMs) / 1_000;
  switch (path) {
    case "/v1/health":
      return { status: "ok", read_only: subject.runtime.server.api.read_only };
    case "/v1/health/ready":
      return subject.notReady === undefined
        ? { ready: true, status: "ready", admission_open: true, healthy_upstreams: 1, total_upstreams: 1 }
        : {
            ready: false,
            status: "not_ready",
            reason: subject.notReady,
            admission_open: true,
            healthy_upstreams: 0,
            total_upstreams: 1,
          };
    case "/v1/runtime/gates":
      return gates;
    case "/v1/system/info":
      return {
        version: subject.version,
        target_arch: "x86_64",
        target_os: "linux",
        build_profile: "unknown",
        process_started_at_epoch_secs: Math.floor(startedAtMs / 1_000),
        uptime_seconds: Math.floor(uptime),
        config_path: subject.configPath,
        config_hash: hashOf(subject.configPath),
        config_reload_count: subject.reloads.count,
        ...(subject.reloads.lastAtMs !== undefined && {
          last_config_reload_epoch_secs: Math.floor(subject.reloads.lastAtMs / 1_000),
        }),
      };
    case "/v1/stats/summary":
      return {
        uptime_seconds: uptime,
        connections_total: relay.connectionsTotal,
        connections_bad_total: relay.connectionsBad,
        connections_bad_by_class: [],
        handshake_failures_by_class: [],
        handshake_timeouts_total: 0,
        configured_users: Object.keys(subject.runtime.access.users).length,
      };
    case "/v1/stats/users/active-ips":
      return [...relay.stats]
        .filter(([, { sessions }]) => sessions.size > 0)
        .map(([username, { sessions }]) => ({ username, active_ips: [...new Set(sessions.values())] }));
    case "/v1/stats/users/quota":
      return { users: [] };
    case "/v1/users":
    case "/v1/stats/users":
      return usersOf(subject);
    default:
      return usersOf(subject).find(({ username }) => path === `/v1/users/${username}`);
  }
}

const gates = {
  accepting_new_connections: true,
  conditional_cast_enabled: false,
  me_runtime_ready: true,
  me2dc_fallback_enabled: true,
  me2dc_fast_enabled: false,
  use_middle_proxy: false,
  route_mode: "direct",
  reroute_active: false,
  startup_status: "ready",
  startup_stage: "ready",
  startup_progress_pct: 100,
};

/** What stands on the disk counts; whether it is in force, too, is said of each. */
function usersOf({ configPath, runtime, relay }: ApiSubject) {
  const { access, general, censorship, server } = loadConfig(configPath).config;
  const domains = [censorship.tls_domain, ...censorship.tls_domains].filter((domain) => domain !== "");
  return Object.entries(access.users)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([username, secret]) => {
      const stats = relay.stats.get(username);
      const active = [...new Set(stats?.sessions.values())];
      const limits = access.user_rate_limits[username];
      const link = (prefixed: string) => `tg://proxy?server=UNKNOWN&port=${server.port}&secret=${prefixed}`;
      return {
        username,
        enabled: access.user_enabled[username] ?? true,
        in_runtime: username in runtime.access.users,
        user_ad_tag: null,
        max_tcp_conns: access.user_max_tcp_conns[username] ?? null,
        expiration_rfc3339: null,
        data_quota_bytes: access.user_data_quota[username] ?? null,
        rate_limit_up_bps: limits?.up_bps ?? null,
        rate_limit_down_bps: limits?.down_bps ?? null,
        max_unique_ips: access.user_max_unique_ips[username] ?? null,
        current_connections: stats?.sessions.size ?? 0,
        active_unique_ips: active.length,
        active_unique_ips_list: active,
        recent_unique_ips: stats?.recentAddresses.size ?? 0,
        recent_unique_ips_list: [...(stats?.recentAddresses ?? [])],
        total_octets: (stats?.octetsFromClient ?? 0) + (stats?.octetsToClient ?? 0),
        links: {
          classic: general.modes?.classic ? [link(secret)] : [],
          secure: general.modes?.secure ? [link(`dd${secret}`)] : [],
          tls: general.modes?.tls
            ? domains.map((domain) => link(`ee${secret}${Buffer.from(domain).toString("hex")}`))
            : [],
          tls_domains: [],
        },
      };
    });
}

function hashOf(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
