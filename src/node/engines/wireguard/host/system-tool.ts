import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { isErrno } from "../../../../platform/errno.ts";

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

/**
 * Uses the programs on the PATH of an environment. What they say they return; they throw {@link ToolFailed}, also when
 * they take longer than `timeoutMs`, by default half a minute.
 */
export function createSystemTools(env: NodeJS.ProcessEnv, timeoutMs = 30_000): SystemTools {
  return async (program, args, input) => {
    const [executable, before] = input === undefined ? [program, []] : ["/bin/sh", ["-c", fedByPipe, program]];
    const child = spawn(executable, [...before, ...args], {
      env: { PATH: env.PATH, LC_ALL: "C" },
      stdio: ["pipe", "pipe", "pipe"],
      // Of a group of its own, so that what the shell has started can be ended with it.
      detached: true,
    });
    const overdue = setTimeout(() => endGroup(child.pid), timeoutMs);
    child.stdin.on("error", () => undefined); // one that ends early says why
    child.stdin.end(input);
    const [stdout, stderr, [code, signal]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "close").catch((error: unknown) => {
        if (isErrno(error, "ENOENT")) return [notFound, null];
        throw error;
      }),
    ]).finally(() => clearTimeout(overdue));
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

function endGroup(leader: number | undefined): void {
  if (leader === undefined) return; // there was not even a shell
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // It has just ended.
  }
}
