// Runs the official Connect conformance suite against the product's own stack, with the short path on and off. Fails on
// any case that fails, and when fewer cases ran than the suite has for what features.yaml says. There is no list of
// exceptions. Arguments go on to the suite, for debugging: `node test/conformance/run.ts --run 'Basic/**' --trace`.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { stripVTControlCharacters } from "node:util";

const version = "v1.0.6";
const casesMin = 3640;
// It takes about 20 s; the runner waits for ever when a server stops answering.
const runMaxMs = 180_000;
const installMaxMs = 300_000;

const here = import.meta.dirname;
const args = process.argv.slice(2);
const runner = await installed();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
let failed = false;
for (const shortPath of ["on", "off"]) {
  const started = Date.now();
  // More servers at once start too slowly on two cores: the suite gives each a few seconds.
  const suite = ["--mode", "server", "--max-servers", "2", "--conf", join(here, "features.yaml"), ...args];
  const server = ["--", process.execPath, join(here, "server.ts")];
  const { code, output } = await run(runner, [...suite, ...server], { GARRISON_SHORT_PATH: shortPath }, runMaxMs);
  const [, passed = "0", failures = "?"] = /(\d+) passed, (\d+) failed/.exec(output) ?? [];
  const seconds = ((Date.now() - started) / 1000).toFixed(0);
  console.log(`conformance ${version}, short path ${shortPath}: ${passed} passed, ${failures} failed in ${seconds} s`);
  if (code === 0 && (Number(passed) >= casesMin || args.length > 0)) continue;
  failed = true;
  console.error(output);
  if (code === 0) console.error(`only ${passed} cases ran, of at least ${casesMin}`);
}
process.exitCode = failed ? 1 : 0;

/** The suite's runner, outside the repository; built through the Go module proxy when it is not there yet. */
async function installed(): Promise<string> {
  const cache =
    process.env.GARRISON_CACHE_DIR ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "garrison");
  const directory = join(cache, "connectconformance", version);
  const path = join(directory, "connectconformance");
  if (existsSync(path)) return path;
  console.log(`building connectconformance ${version}`);
  const module = `connectrpc.com/conformance/cmd/connectconformance@${version}`;
  const { code, output } = await run("go", ["install", module], { GOBIN: directory }, installMaxMs);
  if (code !== 0) throw new Error(`go install ${module} failed:\n${output}`);
  return path;
}

/** Runs a program to its end, or kills it with all it started. */
async function run(command: string, commandArgs: string[], env: Record<string, string>, maxMs: number) {
  const child = spawn(command, commandArgs, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // a process group of its own, to be killed as one
  });
  const { promise: code, resolve, reject } = Promise.withResolvers<number | null>();
  child.once("error", reject).once("close", resolve);
  const kill = () => child.pid !== undefined && child.exitCode === null && process.kill(-child.pid, "SIGKILL");
  process.once("exit", kill);
  let overdue = "";
  const timer = setTimeout(() => {
    overdue = `\nkilled after ${maxMs / 1000} s\n`;
    kill();
  }, maxMs);
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), code]);
  clearTimeout(timer);
  process.off("exit", kill);
  return { code: await code, output: stripVTControlCharacters(stdout + stderr) + overdue };
}
