import type { Progress } from "../node/engines/install/progress.ts";
import type { Terminal } from "./command.ts";

const quietMs = 5_000;

/**
 * Shows progress: on a terminal in one line that changes, elsewhere as a line every five seconds.
 *
 * @param now milliseconds that only grow
 */
export function createTerminalProgress(stream: Terminal, now: () => number): Progress {
  const clear = stream.isTTY ? "\r\x1b[2K" : "";
  let shownAt = now();
  return {
    note: (text) => void stream.write(`${clear}${text}\n`),
    update(text) {
      if (stream.isTTY) stream.write(`${clear}${text.slice(0, (stream.columns ?? 80) - 1)}`);
      else if (now() - shownAt >= quietMs) {
        stream.write(`${text}\n`);
        shownAt = now();
      }
    },
  };
}
