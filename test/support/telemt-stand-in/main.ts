import { existsSync, statSync, watch } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { basename, dirname, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { answerApi } from "./api.ts";
import { loadConfig, type StandInConfig } from "./config.ts";
import { readFaults } from "./faults.ts";
import { metricsOf } from "./metrics.ts";
import { Relay } from "./relay.ts";

// Stands for telemt 3.4.25: the same config, control API, metrics and reload, as the running program gave them. Of its
// protocol it speaks the plain disguises only. `node main.ts [--faults <file>] <config.toml>`

const words = process.argv.slice(2);
const faultsPath = words[0] === "--faults" ? words[1] : undefined;
const configPath = resolve(words.at(-1) ?? "config.toml");
const faults = () => readFaults(faultsPath);

const startedAtMs = Date.now();
let runtime: StandInConfig;
let forgotten: string | undefined;
const reloads = { count: 0, lastAtMs: undefined as number | undefined };
const relay = new Relay(() => runtime);

try {
  runtime = loadConfig(configPath).config;
} catch (error) {
  console.error(`Error: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

let requestId = 0;
const control: RequestListener = (request, response) => {
  const { garbage, silent, notReady, version = "3.4.25" } = faults();
  if (silent) return;
  requestId += 1;
  const subject = { configPath, startedAtMs, version, runtime, reloads, relay, notReady };
  const [status, body] = answerApi(request, subject, requestId);
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" });
  response.end(garbage ?? JSON.stringify(body));
};
const metrics: RequestListener = (request, response) => {
  const { garbage, silent, shownUsers, forgets = [] } = faults();
  if (silent) return;
  if (`${forgets}` !== forgotten) for (const user of forgets) relay.stats.delete(user);
  forgotten = `${forgets}`;
  const found = request.url === "/metrics";
  response.writeHead(found ? 200 : 404, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
  response.end(garbage ?? (found ? metricsOf(runtime, relay.stats, shownUsers) : "Not Found\n"));
};

// telemt goes on without an API or metrics when their ports are taken.
serve(runtime.server.api.listen, control);
serve(runtime.server.metrics_listen, metrics);
try {
  await relay.listen();
} catch (error) {
  const { listeners, port } = runtime.server;
  const addresses = listeners.map(({ ip, port: own = port }) => `${ip}:${own}`);
  console.error(`ERROR Failed to bind: address already in use addr=${addresses.join(",")} (${error})`);
  process.exit(1);
}
console.log("INFO telemt stand-in 3.4.25 serves");

let debounce: NodeJS.Timeout | undefined;
const later = () => {
  if (faults().ignoresFiles) return;
  clearTimeout(debounce);
  debounce = setTimeout(reload, 50);
};
watch(dirname(configPath), (_event, name) => {
  const watched = loadedFiles().map((file) => basename(file));
  if (name !== null && watched.includes(name)) later();
});
let lastChangedAtMs = changedAtMs();
setInterval(() => {
  if (changedAtMs() === lastChangedAtMs) return;
  lastChangedAtMs = changedAtMs();
  later();
}, 3_000);
process.on("SIGHUP", () => {
  if (!faults().ignoresSignals) setTimeout(reload, 50);
});
process.on("SIGTERM", () => {
  relay.close();
  process.exit(0);
});

/** Takes over what can change live: here, the users. Who is gone stays connected; who is disabled does not. */
function reload(): void {
  let read: StandInConfig;
  try {
    read = loadConfig(configPath).config;
  } catch (error) {
    console.error(`ERROR config reload: failed to parse: ${error instanceof Error ? error.message : error}`);
    return;
  }
  if (isDeepStrictEqual(read.access, runtime.access)) return;
  runtime = { ...runtime, access: read.access };
  reloads.count += 1;
  reloads.lastAtMs = Date.now();
  // A moment later, and who was removed meanwhile stays.
  setTimeout(() => {
    for (const [user, enabled] of Object.entries(runtime.access.user_enabled)) if (!enabled) relay.cut(user);
  }, faults().cutsAfterMs ?? 50);
}

function serve(listen: string | undefined, answer: RequestListener): void {
  if (listen === undefined) return;
  const [, host, port] = /^(.*):(\d+)$/.exec(listen) ?? [];
  createServer(answer)
    .on("error", (error) => console.error(`WARN Failed to bind on ${listen}: ${error.message}`))
    .listen(Number(port), host);
}

function loadedFiles(): string[] {
  try {
    return loadConfig(configPath).files;
  } catch {
    return [configPath];
  }
}

function changedAtMs(): number {
  return Math.max(...loadedFiles().map((file) => (existsSync(file) ? statSync(file).mtimeMs : 0)));
}
