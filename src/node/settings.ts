import { constants } from "node:fs";
import {
  type CommonSettings,
  commonSettings,
  commonVariables,
  listenAddress,
  type ProcessOwner,
} from "../platform/config/common.ts";
import type { Env } from "../platform/config/env-file.ts";
import { address, anyText, onOff, path, port, readableFile, wholeNumber } from "../platform/config/value-types.ts";
import {
  optional,
  readVariables,
  SettingsRefused,
  type Values,
  type ValueType,
  variable,
} from "../platform/config/variables.ts";
import { isFile } from "../platform/is-file.ts";
import { parseUuid } from "./api/api-key.ts";
import { installVariables } from "./engines/install/install-variables.ts";
import { findXray, findXrayAssets, usualXrayAssets, usualXrayPath } from "./engines/install/locate.ts";

/** Where the original's installer puts certificate and key. */
export const usualCertificate: CertificateFiles = {
  certFile: "/var/lib/pg-node/certs/ssl_cert.pem",
  keyFile: "/var/lib/pg-node/certs/ssl_key.pem",
};

const apiKey: ValueType<string> = anyText
  .refine((text) => parseUuid(text)?.some((byte) => byte !== 0))
  .describe("a UUID, and not the nil one");

const atLeastOne: ValueType<number> = wholeNumber(Number.MIN_SAFE_INTEGER)
  .transform((lines) => Math.max(1, lines))
  .describe("a whole number; below 1 counts as 1");

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
  SSL_CERT_FILE: optional(readableFile, {
    about: "The certificate, PEM, with its chain. A changed file is picked up without a restart.",
    absent: `\`${usualCertificate.certFile}\` where it exists, else one is made and kept in the data directory`,
  }),
  SSL_KEY_FILE: optional(readableFile, {
    about: "The private key of the certificate, PEM.",
    absent: `\`${usualCertificate.keyFile}\` where it exists, else one is made and kept in the data directory`,
  }),
  XRAY_EXECUTABLE_PATH: installVariables.XRAY_EXECUTABLE_PATH,
  XRAY_ASSETS_PATH: optional(path, {
    about: "The directory of geoip.dat and geosite.dat.",
    absent: `that of Xray where they lie beside it, else \`${usualXrayAssets}\``,
  }),
  GENERATED_CONFIG_PATH: variable(path, {
    about: "The directory that the generated config is written to while `DEBUG` is on; it holds the users' secrets.",
    default: "/var/lib/pg-node/generated/",
  }),
  DEBUG: variable(onOff, { about: "On: the generated config is written down, Xray's log is echoed.", default: "off" }),
  LOG_BUFFER_SIZE: variable(atLeastOne, {
    about: "How many lines of Xray's log are kept for GetLogs.",
    default: "10000",
  }),
  STARTUP_LOG_TAIL_SIZE: variable(atLeastOne, {
    about: "How many lines of Xray's log a failed start is explained with.",
    default: "200",
  }),
  GARRISON_CACHE_DIR: installVariables.GARRISON_CACHE_DIR,
  ...commonVariables,
};

/** Paths of a certificate and its key, PEM, absolute. */
export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** The settings of the node. */
export interface NodeSettings extends CommonSettings {
  readonly host: string;
  readonly port: number;
  /** Absent: one has to be made. */
  readonly apiKey?: string;
  /** Absent: one has to be made, unless TLS is off. */
  readonly certificate?: CertificateFiles;
  readonly xray: {
    /** Absolute. */
    readonly executable: string;
    /** False: there is nothing that can be run at this path, nor anywhere else that was looked at. */
    readonly installed: boolean;
    /** Directory of geoip.dat and geosite.dat, absolute. */
    readonly assets: string;
  };
  /** While debugging, the directory for the generated config. */
  readonly generatedConfigDir?: string;
  readonly logBufferLines: number;
  readonly startupLogLines: number;
}

/**
 * The settings of the node.
 *
 * @throws SettingsRefused
 */
export async function readNodeSettings(env: Env, owner: ProcessOwner): Promise<NodeSettings> {
  const values = await readVariables(nodeVariables, env);
  const common = commonSettings(values, env, owner);
  const certificate = common.tls ? await certificateFiles(values) : undefined;
  const found = await findXray({ env });
  const executable = found ?? usualXrayPath;
  return {
    ...common,
    host: listenAddress(values.NODE_HOST, common),
    port: values.SERVICE_PORT,
    ...(values.API_KEY !== undefined && { apiKey: values.API_KEY }),
    ...(certificate !== undefined && { certificate }),
    xray: {
      executable,
      installed: found !== undefined,
      assets: values.XRAY_ASSETS_PATH ?? (await findXrayAssets(executable)),
    },
    ...(values.DEBUG && { generatedConfigDir: values.GENERATED_CONFIG_PATH }),
    logBufferLines: values.LOG_BUFFER_SIZE,
    startupLogLines: values.STARTUP_LOG_TAIL_SIZE,
  };
}

/** Undefined when there is neither of the two files; with one of them the other must be there. */
async function certificateFiles(
  { SSL_CERT_FILE, SSL_KEY_FILE }: Values<typeof nodeVariables>,
  usual = usualCertificate,
): Promise<CertificateFiles | undefined> {
  const certFile = SSL_CERT_FILE ?? (await ifReadable(usual.certFile));
  const keyFile = SSL_KEY_FILE ?? (await ifReadable(usual.keyFile));
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined) throw missing("SSL_CERT_FILE", usual.certFile, `the key ${keyFile}`);
  if (keyFile === undefined) throw missing("SSL_KEY_FILE", usual.keyFile, `the certificate ${certFile}`);
  return { certFile, keyFile };
}

async function ifReadable(file: string): Promise<string | undefined> {
  return (await isFile(file, constants.R_OK)) ? file : undefined;
}

function missing(name: string, usual: string, other: string): SettingsRefused {
  return new SettingsRefused([
    `${name} is not set, and ${usual} cannot be read: it must name what belongs to ${other}`,
  ]);
}
