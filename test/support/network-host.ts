import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer, type Server } from "node:net";
import { text } from "node:stream/consumers";
import { doAsAsked } from "./network-process.ts";

// A host in a network: it tells whoever connects as whom it sees them, and connects to others.
const requests: string[] = [];
const servers: Server[] = [
  createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end(socket.remoteAddress?.replace("::ffff:", "") ?? "");
  }),
  createHttpServer(({ method, url, socket }, response) => {
    requests.push(`${method} ${url} from ${socket.remoteAddress?.replace("::ffff:", "")}`);
    if (url === "/silent") return;
    response.writeHead(url === "/moved" ? 302 : 500, { location: "/elsewhere" }).end();
  }),
];

doAsAsked({
  /** Listens on both families. Returns the ports of the one that tells, and of HTTP. */
  async listen() {
    return Promise.all(
      servers.map(async (server) => {
        await once(server.listen(0, "::"), "listening");
        const address = server.address();
        return typeof address === "object" ? address?.port : undefined;
      }),
    );
  },
  /** As whom the other one sees this host; `undefined` when nothing comes of it in time. */
  async seenBy(host: string, port: number, timeoutMs: number) {
    const socket = connect({ host, port, signal: AbortSignal.timeout(timeoutMs) });
    return text(socket).catch(() => undefined);
  },
  /** What HTTP was asked since the last time. */
  requests: () => requests.splice(0),
});
