import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** A process of ours in a network of its own, which does what it is asked to. */
export interface NetworkProcess {
  /** Has it do something. Throws what that throws, as text. */
  call(name: string, ...args: unknown[]): Promise<unknown>;
  /** Ends it as a crash does. */
  kill(): Promise<void>;
}

/** What a process in a network can be asked to do: see {@link doAsAsked}. */
export type Deeds = Readonly<Record<string, (...args: never[]) => unknown>>;

interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** Starts a script, which calls {@link doAsAsked}, behind a command that enters a network. */
export function startInNetwork(
  [program = "", ...enter]: readonly string[],
  script: URL,
  variables: Record<string, string> = {},
): NetworkProcess {
  const child: ChildProcess = spawn(program, [...enter, process.execPath, script.pathname], {
    env: { ...process.env, ...variables },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    serialization: "advanced",
  });
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let asked = 0;
  child.on("message", ({ id, result, error }: Reply) => {
    const answer = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) answer?.resolve(result);
    else answer?.reject(new Error(error));
  });
  child.on("exit", () => {
    for (const answer of waiting.values()) answer.reject(new Error("the process has ended"));
  });
  return {
    call(name, ...args) {
      const answer = Promise.withResolvers<unknown>();
      waiting.set(++asked, answer);
      child.send({ id: asked, name, args });
      return answer.promise;
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}

/** Within such a process: does what it is asked to, until whoever has started it is gone. */
export function doAsAsked(deeds: Deeds): void {
  process.on("message", async ({ id, name, args }: { id: number; name: string; args: never[] }) => {
    try {
      process.send?.({ id, result: await deeds[name]?.(...args) });
    } catch (error) {
      process.send?.({ id, error: `${error}` });
    }
  });
  process.on("disconnect", () => process.exit());
}
