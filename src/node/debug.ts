import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../platform/telemetry/log.ts";

/** What the node does besides while `DEBUG` is on. */
export interface Debug {
  /** Writes a document that Xray is about to run into the directory, as `xray.json`, for the eyes of this user only. */
  config(document: string): void;
  /** Repeats a line of Xray in the node's own log. */
  line(text: string): void;
}

/** Makes what writes to this directory and this log. What cannot be written down is said in the log, and no more. */
export function createDebug(directory: string, log: Logger): Debug {
  // Whatever its level is otherwise: who turns DEBUG on wants to see these.
  const echo = log.child({ engine: "xray" }, { level: "debug" });
  const path = join(directory, "xray.json");
  return {
    config(document) {
      try {
        mkdirSync(directory, { recursive: true, mode: 0o700 });
        rmSync(path, { force: true }); // one that is there may be open to others
        writeFileSync(path, JSON.stringify(JSON.parse(document), undefined, 2), { mode: 0o600 });
        log.warn({ path }, "DEBUG: the generated config was written down, with the users' secrets");
      } catch (err) {
        log.warn({ err, path }, "DEBUG: the generated config could not be written down");
      }
    },
    line: (text) => echo.debug(text),
  };
}
