import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { framesOf, head, http2Hello } from "./frames.ts";
import { open, pair, start } from "./support.ts";

const asked = head(1, { ":method": "POST", ":scheme": "http", ":path": "/", ":authority": "a" }, true);
const types = { data: 0, headers: 1 };

test.each([
  ["plain", undefined],
  ["TLS", {}],
])("an answer over HTTP/2 leaves in one piece: head, body and trailers (%s)", async (_, tls) => {
  const { port } = await start(
    (_request, response) => {
      response.addTrailers({ "grpc-status": "0" });
      response.end("a message");
    },
    { ...(tls && { tls: { pair } }) },
  );
  const line = await open(port, tls && { ...tls, ALPNProtocols: ["h2"] });
  const pieces: Buffer[] = [];
  const { promise: isWhole, resolve } = Promise.withResolvers<void>();
  line.socket.on("data", (piece: Buffer) => {
    pieces.push(piece);
    if (framesOf(Buffer.concat(pieces)).some(({ stream, flags }) => stream === 1 && flags % 2 === 1)) resolve();
  });
  line.write(http2Hello);
  await delay(100); // what greetings are answered with has left
  line.write(asked);
  await isWhole;
  const last = framesOf(pieces.at(-1) ?? Buffer.alloc(0));
  expect(last.filter(({ stream }) => stream === 1).map(({ type }) => type)).toEqual([
    ...[types.headers, types.data, types.headers],
  ]);
});
