import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { StartFailed } from "../../engine-error.ts";

/** Where all programs of WireGuard have their sockets: one directory for all networks of the machine. */
export const socketDirectory = "/var/run/wireguard";

/** The socket by which a process is configured that has an interface. */
export function socketOf(interfaceName: string): string {
  return `${socketDirectory}/${interfaceName}.sock`;
}

/** So long one may answer whose interface was just taken away. */
const lingerMs = 1_000;
const lookMs = 10;

/**
 * Waits until nobody answers by the socket of an interface. One of another network would be taken for that which is
 * about to start, and be given its key. Throws {@link StartFailed}.
 */
export async function requireSocketFree(interfaceName: string): Promise<void> {
  const socket = socketOf(interfaceName);
  for (const until = performance.now() + lingerMs; await answers(socket); await sleep(lookMs)) {
    if (performance.now() < until) continue;
    throw new StartFailed(
      `the interface ${interfaceName} cannot be made: a WireGuard of that name answers by ${socket}, in another network ` +
        "of this machine: choose another interface_name",
    );
  }
}

function answers(socketPath: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(socketPath, () => {
    socket.destroy();
    resolve(true);
  });
  socket.on("error", () => resolve(false));
  return promise;
}
