import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { EngineEvents } from "../engine.ts";
import { StartFailed } from "../engine-error.ts";
import type { ClientsOf } from "./config.ts";
import type { Plan } from "./plan.ts";
import type { Launch } from "./running.ts";

/** What all launches of an engine have in common. */
export interface LaunchOptions {
  /** The directory of the API's socket: made, and closed to other users. Two engines may not share it. */
  readonly runDir: string;
  readonly events: EngineEvents;
  /** Told every document that Xray is about to run. It holds the users' secrets. Must not throw. */
  readonly onConfig?: ((document: string) => void) | undefined;
  /** Told every call of Xray's API, by its method. Must not throw, and returns quickly. */
  readonly onCall?: ((method: string) => void) | undefined;
  /** How many of Xray's last lines are told when it does not come up. Default: 200. */
  readonly startupLogLines?: number;
  /** After this time an Xray that does not answer is given up. Default: 60 s. */
  readonly startTimeoutMs?: number;
}

/** How plans are run. */
export interface Launches {
  /** Where it is noted which process runs. */
  readonly record: string;
  /** Where its API is. */
  readonly apiSocket: string;
  /** After this time an Xray that does not answer is given up. */
  readonly timeoutMs: number;
  /** The launch of a plan, with these clients on its inbounds; usually those of its table. */
  of(plan: Plan, clientsOf?: ClientsOf): Launch;
  /** Makes the directory for the socket. Throws {@link StartFailed}. */
  prepare(): Promise<void>;
  /** Tells the document of a plan to whoever wants to know. */
  tell(plan: Plan): void;
}

/** Makes the launches of an engine. `onLine` is told what Xray writes; with `outlives` it may outlive the node. */
export function createLaunches(
  options: LaunchOptions,
  { apiSocket, outlives, onLine }: { apiSocket: string; outlives: boolean; onLine: (line: string) => void },
): Launches {
  const { runDir, onConfig, onCall, startupLogLines: keepLines = 200, startTimeoutMs: timeoutMs = 60_000 } = options;
  const record = join(runDir, "xray.json");
  const output = outlives ? join(runDir, "xray-output") : undefined;
  const of: Launches["of"] = ({ id, program, config, table }, clientsOf = (inbound) => table.clientsOf(inbound)) => ({
    ...{ program, config: config.render(clientsOf), sockets: config.sockets, plan: id },
    ...{ apiSocket, record, output, keepLines, timeoutMs, onCall, onLine },
  });
  return {
    ...{ record, apiSocket, timeoutMs, of },
    async prepare() {
      try {
        await mkdir(runDir, { recursive: true, mode: 0o700 });
        await chmod(runDir, 0o700);
      } catch (error) {
        throw new StartFailed(`the directory for xray's socket cannot be made: ${error}`);
      }
    },
    tell: (plan) => onConfig?.([...of(plan).config].join("")),
  };
}
