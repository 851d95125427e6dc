import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

/** A program of the system did not do what it was asked to do. The message has its own words. */
export class ToolFailed extends Error {
  override readonly name = "ToolFailed";
  /** What it said. */
  readonly said: string;

  constructor(command: string, said: string) {
    super(`${command}: ${said}`);
    this.said = said;
  }
}

/** Runs programs of the system, without a shell. */
export type SystemTools = (program: SystemTool, args: readonly string[], input?: string) => Promise<string>;

/** The programs, by the Debian packages that bring them. */
const packages = { ip: "iproute2", wg: "wireguard-tools", nft: "nftables" } as const;
type SystemTool = keyof typeof packages;

/** Uses the programs on the PATH of an environment. What they say they return; they throw {@link ToolFailed}. */
export function createSystemTools(env: NodeJS.ProcessEnv): SystemTools {
  return async (program, args, input = "") => {
    const child = spawn("/bin/sh", ["-c", fedByPipe, program, ...args], {
      env: { PATH: env.PATH, LC_ALL: "C" },
      stdio: ["pipe", "pipe", "pipe"],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    child.stdin.on("error", () => undefined); // one that ends early says why
    child.stdin.end(input);
    const exit = once(child, "close");
    const [stdout, stderr, [code, signal]] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
    if (code === 0) return stdout;
    // What is private stands in the input, never in the arguments.
    const command = [program, ...args].join(" ").slice(0, 200);
    if (code === notFound)
      throw new ToolFailed(command, `\`${program}\` is not installed: the package ${packages[program]} has it`);
    throw new ToolFailed(command, stderr.trim() || `it ended with ${code ?? signal}`);
  };
}

// What Node makes of a pipe is a socket, which nobody can open as /dev/stdin.
const fedByPipe = 'command -v "$0" >/dev/null || exit 127; cat | "$0" "$@"';
const notFound = 127;
const timeoutMs = 30_000;
