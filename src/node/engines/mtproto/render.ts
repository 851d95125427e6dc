import { createHash } from "node:crypto";
import { stringify } from "smol-toml";
import { MtProtoMode, type MtProtoUser } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { InboundConfig } from "./config.ts";
import { merge, type Settings, without } from "./settings.ts";

/** Where telemt's control API and metrics are, on the loopback interface, and what its API wants to hear. */
export interface Endpoints {
  readonly apiPort: number;
  readonly metricsPort: number;
  /** The value of the header `Authorization`. */
  readonly authorization: string;
}

/** The files that telemt reads. The same config renders to the same files. */
export interface RenderedConfig {
  /** `telemt.toml`. It names `access.toml`, which lies beside it. */
  readonly main: string;
  /** SHA-256 of `main` in hex: what telemt calls its `config_hash`. */
  readonly mainHash: string;
  /** `access.toml`: the users. */
  readonly access: string;
  /**
   * A user who is in `access.toml` and nobody's, and may not connect. The name is another one for every other content
   * of the two files: when telemt says that it is in its runtime, all that stands there is. And telemt wants at least
   * one user.
   */
  readonly marker: string;
}

/** What is rendered of an inbound: its config, and who of its users is not to be let in. */
export interface RenderedInbound {
  readonly config: InboundConfig;
  /** By link UUID. */
  readonly users: ReadonlyMap<string, MtProtoUser>;
  /** Link UUIDs. */
  readonly disabled: ReadonlySet<string>;
}

/** Renders the config of an inbound. `ipv6`: this machine has it, so that all addresses are those of IPv6, too. */
export function render(
  { config, users, disabled }: RenderedInbound,
  endpoints: Endpoints,
  { ipv6 }: { ipv6: boolean },
): RenderedConfig {
  const main = `${stringify(merge(mainOf(config, ipv6), endpointsOf(endpoints)))}\ninclude = "access.toml"\n`;
  const marker = `garrison-${digestOf(main, users, disabled).slice(0, 32)}`;
  const marking = { users: { [marker]: sha256(marker).slice(0, 32) }, user_enabled: { [marker]: false } };
  const access = stringify({ access: merge(marking, accessOf(users, disabled)) });
  return { main, mainHash: sha256(main), access, marker };
}

/** What of an inbound cannot change while telemt runs. */
export function structureOf(config: InboundConfig): string {
  return stringify(without(mainOf(config, true), changesLive));
}

const changesLive = [
  ["general", "log_level"],
  ["general", "ad_tag"],
  ["general", "telemetry"],
  ["network", "dns_overrides"],
  ["access", "user_ad_tags"],
  ["access", "user_data_quota"],
  ["access", "user_expirations"],
  ["access", "user_max_tcp_conns_global_each"],
  ["access", "user_max_unique_ips_global_each"],
  ["access", "user_max_unique_ips_mode"],
  ["access", "user_max_unique_ips_window_secs"],
  ["access", "cidr_rate_limits"],
];

/** The tables of users, which are ours alone. */
const userTables = ["users", "user_enabled", "user_max_tcp_conns", "user_max_unique_ips", "user_rate_limits"];

function mainOf({ listen, port, modes, tlsDomains, settings }: InboundConfig, ipv6: boolean): Settings {
  const [domain, ...domains] = tlsDomains;
  const addresses = listen === undefined ? ["0.0.0.0", ...(ipv6 ? ["::"] : [])] : [listen];
  const ours: Settings = {
    general: {
      modes: {
        classic: modes.has(MtProtoMode.CLASSIC),
        secure: modes.has(MtProtoMode.SECURE),
        tls: modes.has(MtProtoMode.TLS),
      },
      // Else it writes the links, which hold the secrets, to its log.
      links: { show: [] },
      telemetry: { user_enabled: true },
    },
    server: { port, listeners: addresses.map((ip) => ({ ip, port })) },
    ...(domain !== undefined && { censorship: { tls_domain: domain, tls_domains: domains } }),
  };
  return merge(
    without(
      settings,
      userTables.map((table) => ["access", table]),
    ),
    ours,
  );
}

function endpointsOf({ apiPort, metricsPort, authorization }: Endpoints): Settings {
  return {
    server: {
      metrics_listen: `127.0.0.1:${metricsPort}`,
      metrics_whitelist: ["127.0.0.1/32"],
      api: {
        enabled: true,
        listen: `127.0.0.1:${apiPort}`,
        whitelist: ["127.0.0.1/32"],
        auth_header: authorization,
        // What is to change is written to the files: what the API writes to them would be in the way of that.
        read_only: true,
      },
    },
  };
}

function accessOf(users: ReadonlyMap<string, MtProtoUser>, disabled: ReadonlySet<string>): Settings {
  const tables = {
    users: {} as Settings,
    user_enabled: {} as Settings,
    user_max_tcp_conns: {} as Settings,
    user_max_unique_ips: {} as Settings,
    user_rate_limits: {} as Settings,
  };
  for (const [name, user] of users) {
    tables.users[name] = user.secret;
    if (disabled.has(name)) tables.user_enabled[name] = false;
    if (user.maxConnections > 0) tables.user_max_tcp_conns[name] = user.maxConnections;
    if (user.maxAddresses > 0) tables.user_max_unique_ips[name] = user.maxAddresses;
    const [up_bps, down_bps] = [user.uploadBitsPerSecond, user.downloadBitsPerSecond];
    if (up_bps > 0n || down_bps > 0n) tables.user_rate_limits[name] = { up_bps, down_bps };
  }
  return tables;
}

/** Of all that the two files say, without that they have to be written for it. */
function digestOf(main: string, users: ReadonlyMap<string, MtProtoUser>, disabled: ReadonlySet<string>): string {
  const lines = Array.from(users, ([name, user]) => {
    const { secret, maxConnections, maxAddresses, uploadBitsPerSecond, downloadBitsPerSecond } = user;
    const limits = `${maxConnections} ${maxAddresses} ${uploadBitsPerSecond} ${downloadBitsPerSecond}`;
    return `${name} ${secret} ${disabled.has(name)} ${limits}\n`;
  });
  return sha256(`${main}\0${lines.join("")}`);
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
