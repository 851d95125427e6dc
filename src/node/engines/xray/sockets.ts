import { lstat, unlink } from "node:fs/promises";
import { connect } from "node:net";

/**
 * Removes the files of unix sockets at which nobody listens: a killed process leaves them behind, and nothing can
 * listen there again while they exist. Files of any other kind stay.
 */
export async function removeStaleSockets(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const file = await lstat(path).catch(() => undefined);
    if (file?.isSocket() && !(await answers(path))) await unlink(path).catch(() => undefined);
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}
