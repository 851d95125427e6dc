import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The command, as an operator calls it. */
export const garrison = join(import.meta.dirname, "../../bin/garrison");

/** A call of the command in a working directory of its own, with nothing of this machine's environment but the path. */
export interface Call {
  readonly pid: number;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** The first line of stdout, parsed. Throws what the command said when it ends before. */
  ready(): Promise<Record<string, unknown>>;
  signal(name: NodeJS.Signals): void;
  /** Resolves with the exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
}

/** A directory in which the command is called: data and caches are in it. */
export interface Place {
  readonly directory: string;
  readonly dataDir: string;
  call(args: readonly string[], env?: NodeJS.ProcessEnv, program?: string): Call;
  /** Calls it and waits for its end. */
  finish(args: readonly string[], env?: NodeJS.ProcessEnv, program?: string): Promise<Finished>;
  /** Ends what still runs, and removes everything. */
  close(): Promise<void>;
}

/** What a call came to. */
interface Finished {
  readonly code: number | NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Makes a place. */
export async function openPlace(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), "garrison-cli-"));
  const dataDir = join(directory, "data");
  const calls: { child: ChildProcess; ended: Promise<unknown> }[] = [];

  const place: Place = {
    directory,
    dataDir,
    call(args, env = {}, program = garrison) {
      const child = spawn(program, args, {
        cwd: directory,
        env: {
          PATH: process.env.PATH,
          HOME: directory,
          GARRISON_DATA_DIR: dataDir,
          SERVICE_PORT: "0",
          NODE_HOST: "127.0.0.1",
          CORE_PORT: "0",
          CORE_HOST: "127.0.0.1",
          ...env,
        },
        stdio: ["ignore", "pipe", "pipe"],
      });
      const said = { stdout: "", stderr: "" };
      for (const name of ["stdout", "stderr"] as const)
        child[name].setEncoding("utf8").on("data", (text: string) => {
          said[name] += text;
        });
      const ended = once(child, "close").then(([code, signal]) => code ?? signal);
      calls.push({ child, ended });
      return {
        pid: child.pid ?? 0,
        stdout: () => said.stdout,
        stderr: () => said.stderr,
        async ready() {
          while (!said.stdout.includes("\n")) {
            const code = await Promise.race([once(child.stdout, "data").then(() => undefined), ended]);
            if (code !== undefined) throw new Error(`it ended (${code}) before it was ready:\n${said.stderr}`);
          }
          return JSON.parse(said.stdout.split("\n", 1)[0] ?? "");
        },
        signal: (name) => void child.kill(name),
        ended,
      };
    },
    async finish(args, env, program) {
      const call = place.call(args, env, program);
      return { code: await call.ended, stdout: call.stdout(), stderr: call.stderr() };
    },
    async close() {
      for (const { child } of calls) child.kill("SIGKILL");
      await Promise.all(calls.map(({ ended }) => ended));
      await rm(directory, { recursive: true, force: true });
    },
  };
  return place;
}
