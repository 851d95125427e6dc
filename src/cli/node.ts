import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import type { Maintenance } from "../node/maintenance/maintenance.ts";
import { createNode, type Node } from "../node/node.ts";
import { type NodeSettings, nodeVariables, readNodeSettings } from "../node/settings.ts";
import { processOwner } from "../platform/config/common.ts";
import { certificateDir, openServiceDir } from "../platform/config/data-dir.ts";
import { type Env, variablesAsText } from "../platform/config/variables.ts";
import { isErrno } from "../platform/errno.ts";
import { claimDirectory } from "../platform/files/claim.ts";
import { warnOfDates } from "../platform/identity/certificate-files.ts";
import { namesOfMachine } from "../platform/identity/certificate-names.ts";
import { type OpenCertificate, openCertificate } from "../platform/identity/certificate-watch.ts";
import { createServer, type Server, type ServerOptions } from "../platform/server/server.ts";
import { createLog, type Logger } from "../platform/telemetry/log.ts";
import { createMetrics, type Metrics } from "../platform/telemetry/metrics.ts";
import { type Command, refuseWords } from "./command.ts";
import { listen } from "./listen.ts";
import { nodeExamples } from "./node-examples.ts";
import { type Running, serve } from "./serve.ts";
import { garrisonVersion } from "./version.ts";

/** `garrison node` */
export const nodeCommand: Command = {
  usage: "garrison node [--examples] [--data-dir <path>]",
  about: [
    "Runs the node in the foreground until SIGTERM or SIGINT: gRPC, gRPC-Web, Connect and REST on one port.",
    "When it is ready, stdout gets one line of JSON: ready, service, url, fingerprint. Logs go to stderr.",
  ].join("\n"),
  options: {
    examples: { type: "boolean", about: "print commands that call the node, on stderr, when it is ready" },
    "data-dir": { type: "string", value: "<path>", about: "the data directory, unless GARRISON_DATA_DIR names one" },
  },
  details: `Environment variables:\n${variablesAsText(nodeVariables)}`,
  async run({ words, flags, texts }, surroundings) {
    refuseWords(words);
    const variables = await surroundings.readEnv();
    const env = { ...variables, GARRISON_DATA_DIR: variables.GARRISON_DATA_DIR || texts["data-dir"] };
    const settings = await readNodeSettings(env, processOwner());
    const dataDir = await openServiceDir(settings.dataDir, "node");
    let certFile: string | undefined;
    const start = async () => {
      const started = await startNode(settings, dataDir, env);
      certFile = started.certificate?.files.certFile;
      if (started.madeApiKey !== undefined)
        surroundings.stderr.write(madeKeyNotice(started.madeApiKey, apiKeyFile(dataDir)));
      return started;
    };
    return serve("node", start, surroundings, ({ url }) => {
      if (!flags.examples) return;
      const keyFile = settings.apiKey === undefined ? apiKeyFile(dataDir) : undefined;
      surroundings.stderr.write(`\n${nodeExamples({ url, keyFile, certFile, buf })}\n`);
    });
  },
};

const buf = join(import.meta.dirname, "../../node_modules/.bin/buf");

function apiKeyFile(dataDir: string): string {
  return join(dataDir, "api-key");
}

function madeKeyNotice(key: string, file: string): string {
  return `\nThe node made an API key. It is shown only now, and kept in ${file}:\n\n    ${key}\n\n`;
}

interface StartedNode extends Running {
  readonly madeApiKey: string | undefined;
  readonly certificate: OpenCertificate | undefined;
}

async function startNode(settings: NodeSettings, dataDir: string, env: Env): Promise<StartedNode> {
  const log = createLog("node", settings.logLevel);
  for (const note of settings.notes) log.warn(note);
  const claim = await claimDirectory(dataDir);
  const restart = Promise.withResolvers<void>();
  const metrics = createMetrics("node");
  const node = await createNode(settings, {
    dataDir,
    version: await garrisonVersion(),
    env,
    restart: restart.resolve,
    registry: metrics.registry,
    log,
  });
  let certificate: OpenCertificate | undefined;
  const servers: Server[] = [];
  const close = async () => {
    // Before the servers, so that whoever waits for it is answered. It may itself wait for the engine.
    const maintenanceEnd = node.maintenance?.close();
    await Promise.all([...servers.map((server) => server.close()), certificate?.close()]);
    await node.close();
    await maintenanceEnd;
    await claim.release();
  };
  try {
    certificate = await openNodeCertificate(settings, log, (changed) => {
      for (const server of servers) server.replaceCertificate(changed);
    });
    const serving = servingOf(settings, node, certificate, log, metrics);
    servers.push(await listen(serving, { host: "NODE_HOST", port: "SERVICE_PORT" }));
    if (node.maintenance !== undefined) servers.push(...(await listenForMaintenance(serving, node.maintenance)));
  } catch (error) {
    await close();
    throw error;
  }
  const fingerprint = certificate?.current.fingerprint ?? null;
  const { madeApiKey } = node;
  return { url: servers[0]?.url ?? "", fingerprint, madeApiKey, certificate, restartWanted: restart.promise, close };
}

async function openNodeCertificate(
  settings: NodeSettings,
  log: Logger,
  replace: Server["replaceCertificate"],
): Promise<OpenCertificate | undefined> {
  if (!settings.tls) return undefined;
  const certificate = await openCertificate({
    files: settings.certificate,
    directory: certificateDir(settings.dataDir),
    names: namesOfMachine(hostname(), networkInterfaces()),
    now: () => new Date(),
    onChange(changed) {
      replace(changed);
      log.info({ fingerprint: changed.fingerprint }, "the certificate has changed");
      warnOfDates(changed, new Date(), log);
    },
    onProblem: (problem) => log.warn({ problem }, "the certificate has not changed: the new one cannot be used"),
  });
  const { fingerprint, validTo } = certificate.current;
  log.info({ fingerprint, validTo, file: certificate.files.certFile, made: certificate.made }, "certificate");
  warnOfDates(certificate.current, new Date(), log);
  return certificate;
}

/** How the node's own API is served. */
function servingOf(
  settings: NodeSettings,
  { services, gate, describe }: Node,
  certificate: OpenCertificate | undefined,
  log: Logger,
  metrics: Metrics,
): ServerOptions {
  const { host, port, corsOrigins, metricsToken, shortPath } = settings;
  const tls = certificate && { pair: certificate.current };
  return { services, gate, describe, host, port, tls, corsOrigins, metricsToken, shortPath, log, metrics };
}

/**
 * Serves the maintenance API like the node's own, on its own port. A port that cannot be had costs nobody the node: the
 * original's maintenance service, which reads the same variable, may have it.
 */
async function listenForMaintenance(serving: ServerOptions, maintenance: Maintenance): Promise<Server[]> {
  const { log } = serving;
  const { port, services, gate, describe } = maintenance;
  try {
    const server = await createServer({ ...serving, port, services, gate, describe });
    log.info({ url: server.url }, "maintenance API");
    return [server];
  } catch (error) {
    if (!isErrno(error, "EADDRINUSE") && !isErrno(error, "EACCES")) throw error;
    log.warn({ port, reason: error.code }, "API_PORT cannot be had: the maintenance API is not served");
    return [];
  }
}
