import { once } from "node:events";
import { createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CoreAway, CoreRefused, createCoreClient } from "./core-client.ts";

let closing: AbortController;
let server: Server | undefined;
beforeEach(() => {
  closing = new AbortController();
});
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

test("a call whose key is replaced while it is on its way is made again with the new one, and no other", async () => {
  let current = "old";
  const seen: unknown[] = [];
  const core = createHttp2Server((request, response) => {
    const key = request.headers["x-node-auth-key"];
    seen.push(key);
    if (seen.length === 1) current = "new"; // as another call would have done it
    const isTaken = key === "new" && current === "new";
    response.writeHead(isTaken ? 200 : 401, { "content-type": isTaken ? "application/proto" : "application/json" });
    response.end(isTaken ? "" : JSON.stringify({ code: "unauthenticated", message: "replaced" }));
  });
  server = core.listen(0, "127.0.0.1") as unknown as Server;
  await once(core, "listening");
  const urls = [`http://127.0.0.1:${(core.address() as AddressInfo).port}`];
  const client = createCoreClient({ urls, authority: undefined, authKey: () => current, signal: closing.signal });
  const beat = () => client.call((agent, call) => agent.heartbeat({}, call));
  await expect(beat()).resolves.toMatchObject({ ok: false });
  expect(seen).toEqual(["old", "new"]);
  current = "revoked";
  await expect(beat()).rejects.toThrow(CoreRefused);
  expect(seen).toEqual(["old", "new", "revoked"]);
});
