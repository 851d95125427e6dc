import { constants } from "node:fs";
import {
  type CommonSettings,
  commonSettings,
  commonVariables,
  listenAddress,
  type ProcessOwner,
} from "../platform/config/common.ts";
import {
  address,
  anyText,
  executableFile,
  onOff,
  path,
  port,
  readableFile,
  wholeNumber,
} from "../platform/config/value-types.ts";
import type { Env } from "../platform/config/variables.ts";
import {
  optional,
  readVariables,
  SettingsRefused,
  type Values,
  type ValueType,
  variable,
} from "../platform/config/variables.ts";
import type { CertificateFiles } from "../platform/identity/certificate-files.ts";
import { isFile } from "../platform/is-file.ts";
import { type AgentSettings, agentSettings, agentVariables } from "./agent/agent-variables.ts";
import { parseUuid } from "./api/api-key.ts";
import { installVariables } from "./engines/install/install-variables.ts";
import {
  findEngine,
  findTelemt,
  findXray,
  findXrayAssets,
  usualXrayAssets,
  usualXrayPath,
} from "./engines/install/locate.ts";
import { pinnedEngines } from "./engines/install/pinned.ts";
import {
  type WireGuardSettings,
  wireGuardSettings,
  wireGuardVariables,
} from "./engines/wireguard/wireguard-variables.ts";
import {
  type MaintenanceSettings,
  maintenanceSettings,
  maintenanceVariables,
} from "./maintenance/maintenance-variables.ts";

/** Where the original's installer puts certificate and key. */
const usualCertificate: CertificateFiles = {
  certFile: "/var/lib/pg-node/certs/ssl_cert.pem",
  keyFile: "/var/lib/pg-node/certs/ssl_key.pem",
};

const apiKey: ValueType<string> = anyText
  .refine((text) => parseUuid(text)?.some((byte) => byte !== 0))
  .describe("a UUID, and not the nil one");

// Room for all of them is taken at once.
const mostLines = 100_000;
const lineCount: ValueType<number> = wholeNumber(Number.MIN_SAFE_INTEGER)
  .transform((lines) => Math.min(Math.max(1, lines), mostLines))
  .describe(`a whole number; below 1 counts as 1, above ${mostLines} as ${mostLines}`);

/** How much longer than `keep_alive` says, in milliseconds. */
const keepAliveGrace: ValueType<number> = anyText
  .refine((text) => /^(never|grace:\d{1,9})$/.test(text))
  .transform((text) => (text === "never" ? Number.POSITIVE_INFINITY : Number(text.slice("grace:".length)) * 1_000))
  .describe("`grace:<seconds>` or `never`");

/** The variables that name the certificate of the node. */
export const certificateVariables = {
  SSL_CERT_FILE: optional(readableFile, {
    about: "The certificate, PEM, with its chain. A changed file is picked up without a restart.",
    absent: `\`${usualCertificate.certFile}\` where it exists, else one is made and kept in the data directory`,
  }),
  SSL_KEY_FILE: optional(readableFile, {
    about: "The private key of the certificate, PEM.",
    absent: `\`${usualCertificate.keyFile}\` where it exists, else one is made and kept in the data directory`,
  }),
};

/** The variables of the node: those of the original with its defaults, and Garrison's own. */
export const nodeVariables = {
  SERVICE_PORT: variable(port, { about: "The TCP port of all protocols; 0 takes one that is free.", default: "62050" }),
  NODE_HOST: variable(address, { about: "The address to listen on; `::` is every address.", default: "0.0.0.0" }),
  SERVICE_PROTOCOL: variable(anyText, {
    about: "Accepted for the sake of existing files, without effect: gRPC and REST are both served, always.",
    default: "grpc",
  }),
  API_KEY: optional(apiKey, {
    about: "The key that every call needs.",
    absent: "one is made, kept in the data directory and printed once",
    secret: true,
  }),
  ...certificateVariables,
  XRAY_EXECUTABLE_PATH: installVariables.XRAY_EXECUTABLE_PATH,
  XRAY_ASSETS_PATH: optional(path, {
    about: "The directory of geoip.dat and geosite.dat.",
    absent: `that of Xray where they lie beside it, else \`${usualXrayAssets}\``,
  }),
  TELEMT_PATH: optional(executableFile, {
    about:
      "The telemt that MTProto inbounds of Core's configs run on, 3.4.14 or newer: `garrison engines install` does not bring it.",
    absent: "`telemt` from the `PATH`",
  }),
  ...wireGuardVariables,
  GENERATED_CONFIG_PATH: variable(path, {
    about: "The directory that the generated config is written to while `DEBUG` is on; it holds the users' secrets.",
    default: "/var/lib/pg-node/generated/",
  }),
  DEBUG: variable(onOff, { about: "On: the generated config is written down, Xray's log is echoed.", default: "off" }),
  LOG_BUFFER_SIZE: variable(lineCount, {
    about: "How many lines of Xray's log are kept for GetLogs.",
    default: "10000",
  }),
  STARTUP_LOG_TAIL_SIZE: variable(lineCount, {
    about: "How many lines of Xray's log a failed start is explained with.",
    default: "200",
  }),
  GARRISON_KEEP_ALIVE: optional(keepAliveGrace, {
    about: "When a silent caller's backend is stopped: so many seconds later than `keep_alive` of its Start, or never.",
    absent: "as `keep_alive` says",
  }),
  ...agentVariables,
  GARRISON_RESUME: optional(onOff, {
    about:
      "On: the engine runs on when the node ends, and the next node takes it over; after a reboot it is started again as it was.",
    absent: "off, and on while Core drives the node",
  }),
  GARRISON_KICK: variable(onOff, {
    about:
      "On: live connections of users who are removed, or lose an inbound, are cut. Needs `ss` and CAP_NET_ADMIN; GetBaseInfo tells whether it works.",
    default: "off",
  }),
  ...maintenanceVariables,
  GARRISON_CACHE_DIR: installVariables.GARRISON_CACHE_DIR,
  ...commonVariables,
};

/** The settings of the node. */
export interface NodeSettings extends CommonSettings {
  readonly host: string;
  readonly port: number;
  /** Absent: one has to be made. */
  readonly apiKey: string | undefined;
  /** Absent: one has to be made, unless TLS is off. */
  readonly certificate: CertificateFiles | undefined;
  readonly xray: {
    /** Absolute. There may be nothing yet. */
    readonly executable: string;
    /** Directory of geoip.dat and geosite.dat, absolute. */
    readonly assets: string;
  };
  /** The program of MTProto, absolute. Undefined: this machine has none. */
  readonly telemt: string | undefined;
  readonly wireguard: WireGuardSettings & {
    /** The wireguard-go to use where the kernel has no WireGuard, absolute. Undefined: this machine has none. */
    readonly executable: string | undefined;
  };
  /** While debugging, the directory for the generated config. */
  readonly generatedConfigDir: string | undefined;
  readonly logBufferLines: number;
  readonly startupLogLines: number;
  /** How much longer a silent caller's backend runs than `keep_alive` says; infinite: it is never stopped for that. */
  readonly keepAliveGraceMs: number;
  /** How the node finds Core. Absent: nothing says so; a node that is enrolled is driven by Core all the same. */
  readonly core: AgentSettings | undefined;
  /** The engine outlives the node, and what was in force the system. Absent: only while Core drives the node. */
  readonly resume: boolean | undefined;
  /** Live connections of users who lose an inbound are cut, where the machine can. */
  readonly kick: boolean;
  /** Absent: the maintenance API is not served. */
  readonly maintenance: MaintenanceSettings | undefined;
  /** What the operator should know of how the variables were understood, in sentences. */
  readonly notes: readonly string[];
}

/**
 * The settings of the node.
 *
 * @throws SettingsRefused
 */
export async function readNodeSettings(env: Env, owner: ProcessOwner): Promise<NodeSettings> {
  const values = await readVariables(nodeVariables, env);
  const common = commonSettings(values, env, owner);
  const host = listenAddress(values.NODE_HOST, common);
  const certificate = common.tls ? await certificateFiles(values) : undefined;
  const found = await findXray({ env });
  const executable = found ?? usualXrayPath;
  const notes: string[] = [];
  if (host !== values.NODE_HOST)
    notes.push(`TLS is off, so it listens on ${host} only; GARRISON_INSECURE=1 lifts that`);
  if (common.tls && values.SSL_CERT_FILE !== undefined && certificate === undefined)
    notes.push("SSL_CERT_FILE is set without SSL_KEY_FILE: it is taken for a list of authorities, and not used");
  if (found === undefined) notes.push("Xray is not installed: run `garrison engines install xray`");
  return {
    ...common,
    host,
    port: values.SERVICE_PORT,
    apiKey: values.API_KEY,
    certificate,
    xray: {
      executable,
      assets: values.XRAY_ASSETS_PATH ?? (await findXrayAssets(executable)),
    },
    telemt: await findTelemt(env),
    wireguard: { executable: await findEngine(pinnedEngines.wireguard, { env }), ...wireGuardSettings(values) },
    generatedConfigDir: values.DEBUG ? values.GENERATED_CONFIG_PATH : undefined,
    logBufferLines: values.LOG_BUFFER_SIZE,
    startupLogLines: values.STARTUP_LOG_TAIL_SIZE,
    keepAliveGraceMs: values.GARRISON_KEEP_ALIVE ?? 0,
    core: agentSettings(values),
    resume: values.GARRISON_RESUME,
    kick: values.GARRISON_KICK,
    maintenance: maintenanceSettings(values),
    notes,
  };
}

/**
 * The files of the certificate that the operator looks after: those that are named, else those in the original's place.
 * Undefined when there is none, and when only `SSL_CERT_FILE` is set: on many machines it names the bundle of trusted
 * authorities, for OpenSSL and Go.
 *
 * @throws SettingsRefused when there is a key without a certificate
 */
export async function certificateFiles({
  SSL_CERT_FILE,
  SSL_KEY_FILE,
}: Values<typeof certificateVariables>): Promise<CertificateFiles | undefined> {
  const certFile = SSL_CERT_FILE ?? (await ifReadable(usualCertificate.certFile));
  const keyFile = SSL_KEY_FILE ?? (await ifReadable(usualCertificate.keyFile));
  if (keyFile === undefined) return undefined;
  if (certFile !== undefined) return { certFile, keyFile };
  throw new SettingsRefused([
    `SSL_CERT_FILE is not set, and ${usualCertificate.certFile} cannot be read: it must name the certificate of ${keyFile}`,
  ]);
}

async function ifReadable(file: string): Promise<string | undefined> {
  return (await isFile(file, constants.R_OK)) ? file : undefined;
}
