import { lstat, unlink } from "node:fs/promises";
import { connect } from "node:net";
import { isErrno } from "../../../platform/errno.ts";

/**
 * Removes the files of unix sockets at which nobody listens: a killed process leaves them behind, and nothing can
 * listen there again while they exist. Files of any other kind stay.
 */
export async function removeStaleSockets(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const file = await lstat(path).catch(() => undefined);
    if (file?.isSocket() && (await isRefused(path))) await unlink(path).catch(() => undefined);
  }
}

function isRefused(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (refused: boolean) => {
      socket.destroy();
      resolve(refused);
    };
    socket.on("connect", () => done(false));
    socket.on("error", (error) => done(isErrno(error, "ECONNREFUSED")));
  });
}
