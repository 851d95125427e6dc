import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { loadCore } from "./child-server.ts";

const run = promisify(execFile);

/** What is asked of a server, over and over. */
export interface Load {
  port: number;
  path: string;
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
}

/** Puts load on a server with h2load, on a processor of its own. Returns requests per second; throws when one fails. */
export async function requestsPerSecond(load: Load): Promise<number> {
  const { amount } = load;
  const args = [
    ...("seconds" in amount ? ["-D", String(amount.seconds)] : ["-n", String(amount.requests)]),
    ...["-c", String(load.clients), "-m", String(load.parallel), "-t", "1"],
    ...(load.http1 ? ["--h1"] : []),
    ...(load.bodyFile === undefined ? [] : ["-d", load.bodyFile]),
    ...Object.entries(load.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]),
    `http://127.0.0.1:${load.port}${load.path}`,
  ];
  const { stdout } = await run("taskset", ["-c", String(loadCore), "h2load", ...args]);
  const [, rate] = /finished in [^,]*, ([\d.]+) req\/s/.exec(stdout) ?? [];
  const [, failed] = /(\d+) failed/.exec(stdout) ?? [];
  const [, answers = ""] = /status codes: (.*)/.exec(stdout) ?? [];
  const others = answers.split(", ").filter((count) => !count.endsWith(load.answer ?? "2xx"));
  if (rate === undefined || failed !== "0" || others.length !== 3 || others.some((count) => !count.startsWith("0 "))) {
    throw new Error(`h2load ${load.path}: ${stdout}`);
  }
  return Number(rate);
}
