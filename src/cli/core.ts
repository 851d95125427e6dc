import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { IntervalsSchema } from "../../gen/garrison/core/v1/node_status_pb.ts";
import { createCore } from "../core/core.ts";
import { openAuthority } from "../core/domain/authority.ts";
import { ensureFirstOperator } from "../core/first-operator.ts";
import { namesWith, urlsOf } from "../core/public-urls.ts";
import { openServerCertificate, type ServerCertificate } from "../core/server-certificate.ts";
import { type CoreSettings, coreVariables, readCoreSettings } from "../core/settings.ts";
import { createAuthorityStore } from "../core/store/authority.ts";
import { createFirstOperatorStore } from "../core/store/first-operator.ts";
import { openCoreDatabase } from "../core/store/open.ts";
import { processOwner } from "../platform/config/common.ts";
import { openServiceDir } from "../platform/config/data-dir.ts";
import { variablesAsText } from "../platform/config/variables.ts";
import { claimDirectory } from "../platform/files/claim.ts";
import { replaceFile } from "../platform/files/replace-file.ts";
import { type AuthorityKeyPair, certificateSha256 } from "../platform/identity/authority.ts";
import { namesOfMachine } from "../platform/identity/certificate-names.ts";
import type { Server } from "../platform/server/server.ts";
import { createLog } from "../platform/telemetry/log.ts";
import { createMetrics } from "../platform/telemetry/metrics.ts";
import { type Command, refuseWords } from "./command.ts";
import { listen } from "./listen.ts";
import { type Running, serve } from "./serve.ts";
import { garrisonVersion } from "./version.ts";

/** `garrison core` */
export const coreCommand: Command = {
  usage: "garrison core [--data-dir <path>]",
  about: [
    "Runs Core in the foreground until SIGTERM or SIGINT: what nodes report to, and the API of the fleet, over gRPC,",
    "gRPC-Web, Connect and REST on one port. Any number of them may share one PostgreSQL database.",
    "When it is ready, stdout gets one line of JSON: ready, service, url, fingerprint. Logs go to stderr.",
  ].join("\n"),
  options: {
    "data-dir": { type: "string", value: "<path>", about: "the data directory, unless GARRISON_DATA_DIR names one" },
  },
  details: `Environment variables:\n${variablesAsText(coreVariables)}`,
  async run({ words, texts }, surroundings) {
    refuseWords(words);
    const variables = await surroundings.readEnv();
    const env = { ...variables, GARRISON_DATA_DIR: variables.GARRISON_DATA_DIR || texts["data-dir"] };
    const settings = await readCoreSettings(env, processOwner());
    const dataDir = await openServiceDir(settings.dataDir, "core");
    const adminKeyFile = settings.adminKeyFile ?? join(dataDir, "admin-key");
    const start = async () => {
      const started = await startCore(settings, dataDir, adminKeyFile);
      if (started.madeAdminKey !== undefined)
        surroundings.stderr.write(madeKeyNotice(started.madeAdminKey, adminKeyFile));
      return started;
    };
    return serve("core", start, surroundings);
  },
};

function madeKeyNotice(key: string, file: string): string {
  return `\nCore made the first operator's API key. It is shown only now, and kept in ${file}:\n\n    ${key}\n\n`;
}

interface StartedCore extends Running {
  readonly madeAdminKey: string | undefined;
}

async function startCore(settings: CoreSettings, dataDir: string, adminKeyFile: string): Promise<StartedCore> {
  const log = createLog("core", settings.logLevel);
  for (const note of settings.notes) log.warn(note);
  const now = () => Date.now();
  // Each is closed before those that it stands on.
  const opened: (() => Promise<unknown> | undefined)[] = [];
  const close = async () => {
    for (const end of opened.toReversed()) await end();
  };
  try {
    if (settings.databaseUrl === undefined) {
      const claim = await claimDirectory(dataDir);
      opened.push(() => claim.release());
    }
    const database = await openCoreDatabase({ url: settings.databaseUrl, dataDir, log });
    opened.push(() => database.close());
    const isOwnAuthority = settings.tls && settings.certificate === undefined;
    const authority = isOwnAuthority ? await openAuthority(createAuthorityStore(database), now) : undefined;
    if (authority !== undefined) await replaceFile(join(dataDir, "ca.pem"), authority.cert);
    const store = createFirstOperatorStore(database);
    const madeAdminKey = await ensureFirstOperator({ store, file: adminKeyFile, now });

    const metrics = createMetrics("core");
    let server: Server | undefined;
    const { publicUrls } = settings;
    const urls = () => (server === undefined ? publicUrls : urlsOf(publicUrls, server.url, machine()));
    const core = createCore({
      database,
      version: await garrisonVersion(),
      urls,
      subscriptionUrl: settings.subscriptionUrl,
      caSha256: authority && certificateSha256(authority.cert),
      intervals: create(IntervalsSchema, settings.intervals),
      minAgentVersion: settings.minAgentVersion,
      registry: metrics.registry,
      now,
      log,
    });
    opened.push(() => core.close());
    const certificate = await openCoreCertificate(settings, authority, log, urls, (changed) =>
      server?.replaceCertificate(changed),
    );
    opened.push(() => certificate?.close());
    const { host, port, corsOrigins, metricsToken, shortPath } = settings;
    const { services, gate, describe } = core;
    const tls = certificate && { pair: certificate.current };
    server = await listen(
      {
        services,
        gate,
        describe,
        host,
        port,
        tls,
        corsOrigins,
        metricsToken,
        shortPath,
        maxMessageBytes,
        log,
        metrics,
      },
      { host: "CORE_HOST", port: "CORE_PORT" },
    );
    const { url } = server;
    opened.push(() => server?.close());
    log.info({ urls: urls() }, "nodes are told to call");
    return { url, fingerprint: certificate?.current.fingerprint ?? null, madeAdminKey, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What callers send is small; what they are sent may be larger. */
const maxMessageBytes = 4 * 1024 * 1024;

const machine = () => namesOfMachine(hostname(), networkInterfaces());

async function openCoreCertificate(
  { tls, certificate: files }: CoreSettings,
  authority: AuthorityKeyPair | undefined,
  log: ReturnType<typeof createLog>,
  urls: () => readonly string[],
  onChange: Server["replaceCertificate"],
): Promise<ServerCertificate | undefined> {
  const source = files ? { files } : authority && { authority };
  if (!tls || source === undefined) return undefined;
  return openServerCertificate({
    source,
    names: () => namesWith(machine(), urls()),
    now: () => new Date(),
    onChange,
    log,
  });
}
