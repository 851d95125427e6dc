// What a unary gRPC call cannot be done without on Node's HTTP/2: a body that is read, a head, a message and a status. The
// same message whatever is asked, of a size like those of the others.
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";

const message = Buffer.alloc(64);
const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);

const server = createServer();
server.on("stream", (stream: ServerHttp2Stream) => {
  stream.on("error", () => undefined);
  stream.resume();
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.on("end", () => {
    stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
    stream.end(frame);
  });
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
process.once("SIGTERM", () => process.exit());
