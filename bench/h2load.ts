import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadCore } from "./child-server.ts";

const run = promisify(execFile);

/** What is asked of a server, over and over. */
export interface Load {
  port: number;
  /** One, or many that each client asks for in this order. */
  path: string | readonly string[];
  headers: Readonly<Record<string, string>>;
  /** A file with the body. Absent: the requests are GET, without body. */
  bodyFile?: string;
  http1?: boolean;
  clients: number;
  /** Requests that each client has under way at once. */
  parallel: number;
  /** The answer that is meant. Default: `2xx`. */
  answer?: "2xx" | "3xx";
  /** How long, or how many. */
  amount: { seconds: number } | { requests: number };
  /** Told how long the requests took, in milliseconds. */
  onWaits?: (waitsMs: number[]) => void;
}

/** Puts load on a server with h2load, on a processor of its own. Returns requests per second; throws when one fails. */
export async function requestsPerSecond(load: Load): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), "garrison-h2load-"));
  try {
    return await measure(load, directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function measure(load: Load, directory: string): Promise<number> {
  const { amount, onWaits } = load;
  const [pathsFile, waitsFile] = [join(directory, "paths"), join(directory, "waits")];
  const urls = [load.path].flat().map((path) => `http://127.0.0.1:${load.port}${path}`);
  await writeFile(pathsFile, urls.map((url) => `${url}\n`).join(""));
  const args = [
    ...("seconds" in amount ? ["-D", String(amount.seconds)] : ["-n", String(amount.requests)]),
    ...["-c", String(load.clients), "-m", String(load.parallel), "-t", "1"],
    ...(load.http1 ? ["--h1"] : []),
    ...(load.bodyFile === undefined ? [] : ["-d", load.bodyFile]),
    ...Object.entries(load.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]),
    ...(onWaits === undefined ? [] : ["--log-file", waitsFile]),
    ...["-i", pathsFile],
  ];
  const { stdout } = await run("taskset", ["-c", String(loadCore), "h2load", ...args]);
  const [, rate] = /finished in [^,]*, ([\d.]+) req\/s/.exec(stdout) ?? [];
  const [, failed] = /(\d+) failed/.exec(stdout) ?? [];
  const [, answers = ""] = /status codes: (.*)/.exec(stdout) ?? [];
  const others = answers.split(", ").filter((count) => !count.endsWith(load.answer ?? "2xx"));
  if (rate === undefined || failed !== "0" || others.length !== 3 || others.some((count) => !count.startsWith("0 "))) {
    throw new Error(`h2load ${urls[0]}: ${stdout}`);
  }
  onWaits?.(waitsIn(await readFile(waitsFile, "utf8")));
  return Number(rate);
}

/** The third column of h2load's log, in microseconds. */
function waitsIn(log: string): number[] {
  return log
    .split("\n")
    .slice(0, -1)
    .map((line) => Number(line.split("\t")[2]) / 1_000);
}
