import { execFile } from "node:child_process";

/** What `ss` wrote. */
export interface SsOutput {
  readonly stdout: string;
  /** Why it did not do all that was asked, in its own words or the system's. Undefined when it did. */
  readonly failure: string | undefined;
}

/** There is no `ss` on this machine. */
export const ssMissing = "`ss` is not installed";

/** Runs `ss` of iproute2, without a shell. Never rejects. */
export function runSs(
  args: readonly string[],
  { env, timeoutMs }: { env: NodeJS.ProcessEnv; timeoutMs: number },
): Promise<SsOutput> {
  const { promise, resolve } = Promise.withResolvers<SsOutput>();
  const options = {
    env: { PATH: env.PATH, LC_ALL: "C" },
    timeout: timeoutMs,
    killSignal,
    maxBuffer: 64 << 20,
  } as const;
  execFile("ss", args, options, (error, stdout, stderr) => {
    // What it is not permitted it says, and then ends well.
    const said = stderr.trim().split("\n", 1)[0];
    if (error?.code === "ENOENT") resolve({ stdout, failure: ssMissing });
    else if (error?.killed === true) resolve({ stdout, failure: `ss did not end within ${timeoutMs} ms` });
    else if (said) resolve({ stdout, failure: said });
    else resolve({ stdout, failure: error?.message });
  });
  return promise;
}

const killSignal = "SIGKILL";
