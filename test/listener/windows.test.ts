import { once } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { peerOf, type Request } from "../../src/platform/listener/listener.ts";
import { startSlowRelay } from "../support/slow-relay.ts";
import { ask, ends, type Handler, http2Client, pair, sleep, start } from "./support.ts";

const kib = 1024;
const mib = 1024 * kib;

/** Trusts who comes with a key, and reads it all. */
const handler: Handler = async (request, response) => {
  if (request.headers.authorization !== undefined) peerOf(request).trust();
  let bytes = 0;
  for await (const piece of request) bytes += piece.length;
  response.end(String(bytes));
};

describe.each([
  ["plain", undefined],
  ["TLS", { pair }],
])("receive windows, %s", (_name, tls) => {
  const secure = tls !== undefined;

  it("start small and rise once the connection is trusted", async () => {
    const { port } = await start(handler, { ...(tls && { tls }) });
    const session = http2Client(port, { secure });
    await once(session, "remoteSettings");
    expect(session.remoteSettings.initialWindowSize).toBe(256 * kib);
    await ask(session);
    expect(session.state.remoteWindowSize).toBe(1 * mib);
    const raised = once(session, "remoteSettings");
    await ask(session, { authorization: "x" });
    await raised;
    expect(session.remoteSettings.initialWindowSize).toBe(16 * mib);
    expect(session.state.remoteWindowSize).toBe(64 * mib);
    await ask(session, { authorization: "x" });
    expect(session.remoteSettings.maxConcurrentStreams).toBe(256);
  });

  it("rise for a stream that is open already", async () => {
    const { promise, resolve } = Promise.withResolvers<Request>();
    const { port } = await start(resolve, { ...(tls && { tls }) });
    const sender = http2Client(port, { secure }).request({ ":method": "POST" });
    sender.on("error", () => undefined);
    sender.write(Buffer.alloc(8 * mib));
    const request = await promise;
    // Nobody reads it: what has come in is what the window lets through.
    const arrived = () => ("stream" in request ? request.stream.readableLength : 0);
    await vi.waitFor(() => expect(arrived()).toBe(256 * kib));
    await sleep(50);
    expect(arrived()).toBe(256 * kib);
    peerOf(request).trust();
    await vi.waitFor(() => expect(arrived()).toBe(8 * mib), 5_000);
  });
});

it("a large upload over a long line takes a few round trips, not one for each small window", async () => {
  const { port } = await start(handler);
  const roundTripMs = 150;
  const relay = ends(await startSlowRelay(new URL(`http://127.0.0.1:${port}`), roundTripMs / 2));
  const body = Buffer.alloc(11 * mib);
  const session = http2Client(Number(new URL(relay.url).port));
  await once(session, "remoteSettings");
  const begin = performance.now();
  expect(await ask(session, { authorization: "x" }, body)).toMatchObject({ body: String(body.length) });
  // 11 MiB in windows of 256 KiB would be 44 round trips.
  expect(performance.now() - begin).toBeLessThan(22 * roundTripMs);
});
