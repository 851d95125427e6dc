// What a heartbeat cannot be done without: an HTTP server that parses a JSON body and answers a JSON text.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    JSON.parse(Buffer.concat(chunks).toString());
    response.setHeader("content-type", "application/json; charset=utf-8");
    response.end('{"ok":true,"needSync":false}');
  });
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
process.once("SIGTERM", () => process.exit());
