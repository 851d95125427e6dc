import { spawn } from "node:child_process";

/** How a command runs. */
export interface CommandOptions {
  cwd: string;
  /** The whole environment. */
  env: NodeJS.ProcessEnv;
  /** What it reads from standard input. Default: nothing. */
  input?: string;
}

/** Runs a command to its end and returns what it wrote to standard output. One that fails throws all that it wrote. */
export async function run(command: string, args: readonly string[], options: CommandOptions): Promise<string> {
  const child = spawn(command, args, { cwd: options.cwd, env: options.env, stdio: "pipe" });
  const wrote = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    wrote.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    wrote.stderr += text;
  });
  child.stdin.on("error", () => undefined); // it has ended without reading
  child.stdin.end(options.input ?? "");
  const status = await new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve));
  if (status === 0) return wrote.stdout;
  throw new Error(`${command} ${args.join(" ")}: exit ${status}\n${wrote.stderr}${wrote.stdout}`);
}
