import {
  type CommonSettings,
  commonSettings,
  commonVariables,
  listenAddress,
  type ProcessOwner,
  storeVariables,
} from "../platform/config/common.ts";
import {
  address,
  baseUrl,
  onOff,
  origins,
  path,
  port,
  readableFile,
  version,
  wholeNumber,
} from "../platform/config/value-types.ts";
import {
  type Env,
  optional,
  readVariables,
  SettingsRefused,
  type Values,
  variable,
  wrongValue,
} from "../platform/config/variables.ts";
import type { CertificateFiles } from "../platform/identity/certificate-files.ts";
import { PlainTextRefused, refusePlainText } from "../platform/identity/enrolment-code.ts";

/** Nodes do not call more often than this, whatever Core wants. */
const interval = wholeNumber(100, 3_600_000);

/** The variables of Core. */
export const coreVariables = {
  CORE_PORT: variable(port, { about: "The TCP port of all protocols; 0 takes one that is free.", default: "8080" }),
  CORE_HOST: variable(address, { about: "The address to listen on; `::` is every address.", default: "0.0.0.0" }),
  CORE_PUBLIC_URLS: optional(origins, {
    about: "Where nodes and users reach Core, best first: goes into enrolment codes and into Core's own certificate.",
    absent: "the addresses of this machine",
  }),
  CORE_SUBSCRIPTION_URL: optional(baseUrl("https", "http"), {
    about: "What the links of subscriptions begin with, where users reach Core otherwise: through a proxy for `/sub/`.",
    absent: "the first of `CORE_PUBLIC_URLS`",
  }),
  ...storeVariables,
  CORE_ADMIN_KEY_FILE: optional(path, {
    about:
      "The file of the first operator's API key. The first start with a new database makes it, unless it is there " +
      "already, and takes the key in it.",
    absent: "`core/admin-key` in the data directory",
  }),
  CORE_INSECURE: variable(onOff, {
    about: "On: nodes may call Core over plain text from other machines. As `GARRISON_INSECURE`, for Core alone.",
    default: "off",
  }),
  CORE_HEARTBEAT_MS: variable(interval, {
    about:
      "Milliseconds between the heartbeats of a node. It is stale after three that are missed, offline after five.",
    default: "15000",
  }),
  CORE_ENGINE_POLL_MS: variable(interval, {
    about: "Milliseconds between a node's readings of what its engines have counted: what a crash of theirs can lose.",
    default: "10000",
  }),
  CORE_USAGE_MS: variable(interval, {
    about: "Milliseconds between a node's reports of usage.",
    default: "60000",
  }),
  CORE_SESSIONS_MS: variable(interval, {
    about: "Milliseconds between a node's reports of who came and went.",
    default: "30000",
  }),
  CORE_MIN_AGENT_VERSION: optional(version, {
    about: "The oldest version of agents that Core likes to work with. Older ones work on, and report it.",
    absent: "any version will do",
  }),
  SSL_CERT_FILE: optional(readableFile, {
    about: "The certificate, PEM, with its chain. A changed file is picked up without a restart.",
    absent: "Core's own authority signs one",
  }),
  SSL_KEY_FILE: optional(readableFile, {
    about: "The private key of the certificate, PEM.",
    absent: "Core's own authority signs a certificate",
  }),
  ...commonVariables,
};

/** The settings of Core. */
export interface CoreSettings extends CommonSettings {
  readonly host: string;
  readonly port: number;
  /** Empty: the addresses of this machine. */
  readonly publicUrls: readonly string[];
  /** What links of subscriptions begin with, without a slash at its end. Undefined: the first of Core's URLs. */
  readonly subscriptionUrl: string | undefined;
  /** The PostgreSQL database. Undefined: SQLite, in the data directory. */
  readonly databaseUrl: string | undefined;
  /** Absolute. Undefined: in the data directory. */
  readonly adminKeyFile: string | undefined;
  /** How often nodes call, in milliseconds. */
  readonly intervals: Readonly<Record<"heartbeatMs" | "enginePollMs" | "usageMs" | "sessionsMs", number>>;
  /** Undefined: any. */
  readonly minAgentVersion: string | undefined;
  /** A certificate that the operator looks after. Undefined: Core's own authority signs one, unless TLS is off. */
  readonly certificate: CertificateFiles | undefined;
  /** What the operator should know of how the variables were understood, in sentences. */
  readonly notes: readonly string[];
}

/**
 * The settings of Core.
 *
 * @throws SettingsRefused
 */
export async function readCoreSettings(env: Env, owner: ProcessOwner): Promise<CoreSettings> {
  const values = await readVariables(coreVariables, env);
  const given = commonSettings(values, env, owner);
  const common = { ...given, insecure: given.insecure || values.CORE_INSECURE };
  const host = listenAddress(values.CORE_HOST, common);
  const publicUrls = values.CORE_PUBLIC_URLS ?? [];
  const subscriptionUrl = values.CORE_SUBSCRIPTION_URL;
  refuseUnprotected("CORE_PUBLIC_URLS", publicUrls, common.insecure);
  if (subscriptionUrl) refuseUnprotected("CORE_SUBSCRIPTION_URL", [subscriptionUrl], common.insecure);
  const certificate = common.tls ? certificateFiles(values) : undefined;
  const notes: string[] = [];
  if (host !== values.CORE_HOST) notes.push(`TLS is off, so it listens on ${host} only; CORE_INSECURE=1 lifts that`);
  if (common.tls && values.SSL_CERT_FILE !== undefined && certificate === undefined)
    notes.push("SSL_CERT_FILE is set without SSL_KEY_FILE: it is taken for a list of authorities, and not used");
  return {
    ...common,
    host,
    port: values.CORE_PORT,
    publicUrls,
    subscriptionUrl,
    databaseUrl: values.DATABASE_URL,
    adminKeyFile: values.CORE_ADMIN_KEY_FILE,
    intervals: {
      heartbeatMs: values.CORE_HEARTBEAT_MS,
      enginePollMs: values.CORE_ENGINE_POLL_MS,
      usageMs: values.CORE_USAGE_MS,
      sessionsMs: values.CORE_SESSIONS_MS,
    },
    minAgentVersion: values.CORE_MIN_AGENT_VERSION,
    certificate,
    notes,
  };
}

function refuseUnprotected(name: string, urls: readonly string[], insecure: boolean): void {
  try {
    refusePlainText(urls, insecure);
  } catch (error) {
    if (!(error instanceof PlainTextRefused)) throw error;
    throw new SettingsRefused([wrongValue(name, urls.join(","), `cannot be used: ${error.message}`)]);
  }
}

/** Undefined also when only `SSL_CERT_FILE` is set, which on many machines names the authorities that are trusted. */
function certificateFiles({ SSL_CERT_FILE: certFile, SSL_KEY_FILE: keyFile }: Values<typeof coreVariables>) {
  if (keyFile === undefined) return undefined;
  if (certFile !== undefined) return { certFile, keyFile };
  throw new SettingsRefused([`SSL_CERT_FILE is not set: it must name the certificate of ${keyFile}`]);
}
