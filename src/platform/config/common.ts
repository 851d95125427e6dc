import { homedir } from "node:os";
import { join } from "node:path";
import { type LogLevel, logLevels } from "../telemetry/log.ts";
import { oneOf, onOff, origins, path, token, url } from "./value-types.ts";
import type { Env } from "./variables.ts";
import { optional, type Values, variable } from "./variables.ts";

/** The variables of every service. */
export const commonVariables = {
  GARRISON_DATA_DIR: optional(path, {
    about: "Where keys, certificates and state are kept: mode 0700, secrets in it 0600.",
    absent: "`/var/lib/garrison` as root, else `~/.local/share/garrison`",
  }),
  GARRISON_TLS: variable(onOff, {
    about: "Off: the port speaks plain text, and only on 127.0.0.1 unless `GARRISON_INSECURE` is on.",
    default: "on",
  }),
  GARRISON_INSECURE: variable(onOff, {
    about: "On: plain text is allowed on addresses that others can reach.",
    default: "off",
  }),
  GARRISON_CORS_ORIGINS: optional(origins, {
    about: "Web pages that may call from a browser.",
    absent: "none",
  }),
  METRICS_TOKEN: optional(token, {
    about: "Opens `/metrics` besides the service's own credential, as `Authorization: Bearer`.",
    absent: "none",
    secret: true,
  }),
  GARRISON_SHORT_PATH: variable(onOff, {
    about: "Off: gRPC and Connect calls take the stock way through connect-es, which is slower.",
    default: "on",
  }),
  GARRISON_LOG_LEVEL: variable(oneOf(...logLevels), {
    about: "The least level of what is logged, on stderr.",
    default: "info",
  }),
};

/** The variables of every service that keeps data in a database. */
export const storeVariables = {
  DATABASE_URL: optional(url("postgres", "postgresql"), {
    about: "The PostgreSQL database that holds the data.",
    absent: "SQLite, in the data directory",
    secret: true,
  }),
};

/** The settings of every service. */
export interface CommonSettings {
  /** Absolute. Every service has a directory of its own in it. */
  readonly dataDir: string;
  readonly tls: boolean;
  readonly insecure: boolean;
  readonly corsOrigins: readonly string[];
  readonly metricsToken: string | undefined;
  readonly shortPath: boolean;
  readonly logLevel: LogLevel;
}

/** Who runs the process: it decides where files are kept by default. */
export interface ProcessOwner {
  readonly isRoot: boolean;
  readonly home: string;
}

/** Who runs this process. */
export function processOwner(): ProcessOwner {
  return { isRoot: process.geteuid?.() === 0, home: homedir() };
}

/** The data directory of all services. */
export function dataDirOf(
  values: Pick<Values<typeof commonVariables>, "GARRISON_DATA_DIR">,
  env: Env,
  owner: ProcessOwner,
): string {
  if (values.GARRISON_DATA_DIR !== undefined) return values.GARRISON_DATA_DIR;
  if (owner.isRoot) return "/var/lib/garrison";
  return join(env.XDG_DATA_HOME || join(owner.home, ".local/share"), "garrison");
}

/** Shapes the values of {@link commonVariables}. */
export function commonSettings(values: Values<typeof commonVariables>, env: Env, owner: ProcessOwner): CommonSettings {
  return {
    dataDir: dataDirOf(values, env, owner),
    tls: values.GARRISON_TLS,
    insecure: values.GARRISON_INSECURE,
    corsOrigins: values.GARRISON_CORS_ORIGINS ?? [],
    metricsToken: values.METRICS_TOKEN,
    shortPath: values.GARRISON_SHORT_PATH,
    logLevel: values.GARRISON_LOG_LEVEL,
  };
}

/**
 * The address to listen on. Plain text is kept on this machine unless that was lifted by name, so that a key never
 * crosses a network in the clear by accident.
 */
export function listenAddress(host: string, { tls, insecure }: Pick<CommonSettings, "tls" | "insecure">): string {
  return tls || insecure || host === "::1" || /^127\./.test(host) ? host : "127.0.0.1";
}
