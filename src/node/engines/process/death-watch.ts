import { spawn } from "node:child_process";
import type { EngineProcess } from "./engine-process.ts";

/**
 * Sees to it that a process does not outlive this one, however this one ends: a small shell holds a pipe to it, and
 * kills the process when the pipe breaks. Close the watch when the process is gone, or may outlive this one; it resolves
 * when the shell is gone, too.
 */
export function watchOver(
  { pid, startTicks }: Pick<EngineProcess, "pid" | "startTicks">,
  onTrouble: (text: string) => void,
): { close(): Promise<void> } {
  const shell = spawn("/bin/sh", ["-c", watcher, "garrison-watch", `${pid}`, startTicks], {
    stdio: ["pipe", "ignore", "ignore"],
    env: {},
    detached: true,
  });
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  shell.once("close", () => end());
  shell.on("error", (error) => {
    onTrouble(`cannot watch over the engine, it would outlive a killed node: ${error.message}`);
    end();
  });
  shell.stdin.on("error", () => undefined);
  return {
    close() {
      if (!shell.stdin.writableEnded) shell.stdin.end("released\n");
      return ended;
    },
  };
}

// A line means that the process is gone; the end of the pipe without one, that the node is. A pid may have been given
// to another process since: the start time, field 22 of its stat, tells. What follows the name in parentheses begins
// with field 3, which is $3 here.
const watcher = `
read -r _ && exit
read -r stat < "/proc/$1/stat" || exit
set -- "$1" "$2" \${stat##*) }
[ "\${22}" = "$2" ] && kill -9 "$1"
`;
