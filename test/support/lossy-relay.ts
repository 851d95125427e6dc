import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A TCP relay on which answers get lost, as they do on a bad line: the target believes that it has sent them. */
export interface LossyRelay {
  /** The target's URL with the relay's address and port. */
  readonly url: string;
  /** Lets only so many more bytes of the target through, and swallows all that follow. Resolves at the first of them. */
  swallowAfter(bytes: number): Promise<void>;
  /** Passes the next bytes of a client on and resets its connection behind them, at both ends. */
  resetBehindRequest(): void;
  /** Resets all connections, at both ends, and lets the answers of new ones through. */
  reset(): void;
  close(): Promise<void>;
}

/** Starts a relay on this machine to a target. It passes everything on until it is told otherwise. */
export async function startLossyRelay(target: URL): Promise<LossyRelay> {
  const sockets = new Set<Socket>();
  let allowance = Number.POSITIVE_INFINITY;
  let swallowed: () => void = () => undefined;
  let resetsBehindRequest = false;

  const reset = () => {
    for (const socket of sockets) socket.resetAndDestroy();
    allowance = Number.POSITIVE_INFINITY;
    resetsBehindRequest = false;
  };
  const pass = (piece: Buffer, to: Socket) => {
    if (allowance > 0) to.write(piece.subarray(0, allowance));
    if (allowance < piece.length) swallowed();
    allowance = Math.max(0, allowance - piece.length);
  };
  const server = createServer((near) => {
    const far = connect({ host: target.hostname, port: Number(target.port) });
    near.on("data", (piece) => far.write(piece, () => resetsBehindRequest && reset()));
    far.on("data", (piece: Buffer) => pass(piece, near));
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      // A reset is passed on as what it is.
      from.on("error", () => to.resetAndDestroy());
      from.on("end", () => to.end()).on("close", () => sockets.delete(from));
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(target);
  url.hostname = "127.0.0.1";
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.origin,
    swallowAfter(bytes) {
      allowance = bytes;
      return new Promise((resolve) => {
        swallowed = resolve;
      });
    },
    resetBehindRequest() {
      resetsBehindRequest = true;
    },
    reset,
    async close() {
      for (const socket of sockets) socket.destroy();
      await once(server.close(), "close");
    },
  };
}
