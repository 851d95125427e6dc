import { setTimeout as delay } from "node:timers/promises";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { deliveryOf } from "../../src/platform/listener/delivery.ts";
import { cancel, frame, framesOf, head, http2Hello, pong } from "./frames.ts";
import { ends, type Handler, open, pair, start } from "./support.ts";

// A client that resets a stream whose reply has left, and keeps its connection: whether the reset or the acknowledgement
// of the PING behind the reply comes first decides. Libraries acknowledge by themselves; this client does it by hand.

let outcomes: string[] = [];
beforeEach(() => {
  outcomes = [];
});
const answer: Handler = (request, response) => {
  deliveryOf(request).watch({ delivered: () => outcomes.push("delivered"), lost: () => outcomes.push("lost") });
  response.end("whole");
};
const known = (...expected: string[]) => vi.waitFor(() => expect(outcomes).toEqual(expected), { interval: 5 });

const get = (stream: number) =>
  head(stream, { ":method": "GET", ":path": "/", ":scheme": "http", ":authority": "x" }, true);

async function client(tls: object | undefined) {
  const { port } = await start(answer, { ...(tls && { tls: { pair } }) });
  const line = ends(await open(port, tls && { ...tls, ALPNProtocols: ["h2"] }));
  line.write(Buffer.concat([http2Hello, frame(4, 0x1, 0)]));
  const received = () => framesOf(Buffer.from(line.text(), "latin1"));
  return {
    line,
    write: (...frames: Buffer[]) => line.write(Buffer.concat(frames)),
    /** Waits for the reply on a stream, and for this many PINGs in all; answers the data of the last. */
    async replied(stream: number, pings: number): Promise<Buffer> {
      await vi.waitFor(() => {
        expect(received().some(({ type, flags, stream: on }) => type === 0 && on === stream && flags & 1)).toBe(true);
        expect(received().filter(({ type }) => type === 6)).toHaveLength(pings);
      });
      const ping = received().findLast(({ type }) => type === 6);
      return ping?.payload ?? expect.fail();
    },
  };
}

describe.each([
  ["plain", undefined],
  ["TLS", {}],
])("over %s, a reply that has left", (_, tls) => {
  test("is lost when its stream is reset before the PING is acknowledged, though the connection lives on", async () => {
    const { write, replied } = await client(tls);
    write(get(1));
    const data = await replied(1, 1);
    write(cancel(1));
    await known("lost");
    write(pong(data), get(3));
    const next = await replied(3, 2);
    write(pong(next));
    await known("lost", "delivered");
  });

  test("is lost when reset and acknowledgement come in one piece, in this order", async () => {
    const { write, replied } = await client(tls);
    write(get(1));
    write(cancel(1), pong(await replied(1, 1)));
    await known("lost");
  });

  test("is delivered once the PING is acknowledged, whatever comes behind it", async () => {
    const { write, replied } = await client(tls);
    write(get(1));
    write(pong(await replied(1, 1)), cancel(1));
    await known("delivered");
    write(cancel(1));
    await delay(50);
    expect(outcomes).toEqual(["delivered"]);
  });

  test("is not lost by the reset of another stream", async () => {
    const { write, replied } = await client(tls);
    write(get(1));
    const first = await replied(1, 1);
    write(get(3));
    await vi.waitFor(() => replied(3, 1));
    // The PING under way is older than the second reply, which has the next one.
    write(cancel(3), pong(first));
    await known("lost", "delivered");
  });

  test("is lost when the connection is cut before the acknowledgement", async () => {
    const { line, write, replied } = await client(tls);
    write(get(1));
    await replied(1, 1);
    line.socket.destroy();
    await known("lost");
  });
});

test("a reset byte by byte is seen as well", async () => {
  const { line, write, replied } = await client(undefined);
  write(get(1));
  const data = await replied(1, 1);
  for (const byte of cancel(1)) {
    line.write(Buffer.from([byte]));
    await delay(2);
  }
  write(pong(data));
  await known("lost");
});
