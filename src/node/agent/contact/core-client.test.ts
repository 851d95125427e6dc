import { once } from "node:events";
import { createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import { CoreAway, createCoreClient } from "./core-client.ts";

const closing = new AbortController();
let server: Server | undefined;
afterEach(() => {
  closing.abort();
  server?.close();
});

function clientOf({ port }: AddressInfo) {
  const urls = [`http://127.0.0.1:${port}`];
  return createCoreClient({ urls, authority: undefined, authKey: () => "key", signal: closing.signal });
}

test("wherever the connection breaks, Core is away, and nothing else fails", async () => {
  const core = createHttp2Server((_, response) =>
    response.writeHead(200, { "content-type": "application/proto" }).end(),
  );
  await once(core.listen(0, "127.0.0.1"), "listening");
  const target = (core.address() as AddressInfo).port;
  let left = 0;
  server = createServer((near) => {
    const far = connect(target, "127.0.0.1");
    near.on("error", () => far.destroy()).pipe(far);
    far
      .on("error", () => near.destroy())
      .on("data", (piece: Buffer) => {
        near.write(piece.subarray(0, left));
        left -= piece.length;
        if (left <= 0) setTimeout(() => near.destroy(), 2);
      });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const client = clientOf(server.address() as AddressInfo);
  const failures: unknown[] = [];
  for (let bytes = 1; bytes < 60; bytes += 1) {
    left = bytes;
    failures.push(await client.call((agent, call) => agent.heartbeat({}, call)).catch((error: unknown) => error));
  }
  core.close();
  expect(failures.filter((failure) => failure instanceof CoreAway).length).toBeGreaterThan(30);
  expect(failures.filter((failure) => failure instanceof Error && !(failure instanceof CoreAway))).toEqual([]);
});
