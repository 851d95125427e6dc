import { once } from "node:events";
import { rename } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { socketOf } from "../../src/node/engines/wireguard/device/uapi-socket.ts";

/** Stands between a WireGuard process and whoever asks it, and notes what it is asked. */
export interface UapiTap {
  /** The requests so far, whole: each begins with `get=1` or `set=1`. */
  readonly requests: readonly string[];
  /** The requests that changed something. */
  readonly writes: readonly string[];
  /** Takes itself out of the way again. */
  close(): Promise<void>;
}

/**
 * Taps the socket of an interface; for a moment at the beginning, and at the end, there is none. Requests are handed on
 * as `change` has them.
 */
export async function tapUapi(interfaceName: string, change = (request: string) => request): Promise<UapiTap> {
  const path = socketOf(interfaceName);
  const [own, kept] = [`${path}.tap`, `${path}.tapped`];
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((asking) => {
    const answering = connect(kept);
    for (const [socket, other] of [
      [asking, answering],
      [answering, asking],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => other.destroy()).on("close", () => sockets.delete(socket) && other.end());
    }
    answering.pipe(asking);
    let request = "";
    asking.setEncoding("latin1").on("data", (text: string) => {
      request += text;
      const end = request.lastIndexOf(blankLine) + blankLine.length;
      if (end < blankLine.length) return;
      const whole = request.slice(0, end);
      requests.push(...whole.split(blankLine).slice(0, -1));
      answering.write(change(whole));
      request = request.slice(end);
    });
  }).listen(own);
  await once(server, "listening");
  // wireguard-go ends when its socket is touched in any other way, as by another name or by being replaced.
  await rename(path, kept);
  await rename(own, path);
  return {
    requests,
    get writes() {
      return requests.filter((request) => request.startsWith("set=1"));
    },
    async close() {
      if (!server.listening) return;
      await rename(path, own);
      await rename(kept, path);
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

const blankLine = "\n\n";
