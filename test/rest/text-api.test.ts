import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedDecodeStream } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { delimited } from "../../src/platform/rest/delimited.ts";
import {
  FlowResponseSchema,
  PartSchema,
  PushRequestSchema,
  PushResponseSchema,
  TailResponseSchema,
  TurnRequestSchema,
  TurnResponseSchema,
} from "./gen/garrison/resttest/v1/pipe_service_pb.ts";
import { servePipe } from "./pipe.ts";
import { key, type Served, serveRest } from "./serve.ts";

const received: string[] = [];
let served: Served;

beforeAll(async () => {
  served = await serveRest([servePipe(received)]);
});
beforeEach(() => {
  received.length = 0;
});
afterAll(() => served.close());

const put = (path: string, body: Uint8Array, headers: Record<string, string> = {}) =>
  served.fetch(path, { method: "PUT", body: new Uint8Array(body), headers });
const push = (text: string, last = false) =>
  delimited(toBinary(PushRequestSchema, create(PushRequestSchema, { text, last })));
const bytesOf = async (response: Response) => new Uint8Array(await response.arrayBuffer());
const turn = toBinary(TurnRequestSchema, create(TurnRequestSchema, { part: { text: "nut" } }));

describe("protobuf", () => {
  test("goes in and out, whatever the content type", async () => {
    for (const type of ["application/x-protobuf", "application/json", "nonsense"]) {
      const response = await served.fetch("/pipe/turn", {
        method: "POST",
        body: turn,
        headers: { "content-type": type },
      });
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe("application/x-protobuf");
      expect(fromBinary(TurnResponseSchema, await bytesOf(response)).part?.text).toBe("nut");
    }
  });

  test("an empty message is an empty body, both ways", async () => {
    const response = await served.fetch("/pipe/turn", { method: "POST" });
    expect(response.headers.get("content-type")).toBe("application/x-protobuf");
    expect(response.headers.get("content-length")).toBe("0");
  });

  test("GET may have a body", async () => {
    const socket = connect(served.port, "127.0.0.1");
    const head = `GET /pipe/turn HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\ncontent-length: ${turn.length}\r\n\r\n`;
    socket.write(Buffer.concat([Buffer.from(head), turn]));
    const answer = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    expect(answer.toString("latin1")).toContain("HTTP/1.1 200 OK");
    expect(answer.toString("latin1")).toContain("nut");
    socket.destroy();
  });

  test("one field is the body, both ways", async () => {
    const part = toBinary(PartSchema, create(PartSchema, { text: "bolt" }));
    const response = await put("/pipe/turn/part", part);
    expect(fromBinary(PartSchema, await bytesOf(response)).text).toBe("bolt");
    expect(await bytesOf(await put("/pipe/turn/part", new Uint8Array()))).toHaveLength(0);
  });

  test("garbage is 400, in the words of API or route", async () => {
    const garbage = new Uint8Array([0x0a, 0x20, 0x01]);
    const response = await served.fetch("/pipe/turn", { method: "POST", body: garbage });
    expect(response.status).toBe(400);
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(await response.text()).toMatch(/^not a part: .+\n$/);
    const socket = connect(served.port, "127.0.0.1");
    socket.write(`GET /pipe/turn HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\ncontent-length: 3\r\n\r\n`);
    socket.write(garbage);
    const answer = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    expect(answer.toString()).toMatch(/ 400 .*\r\n\r\nFailed to decode part\n$/s);
    socket.destroy();
  });

  test("a strict route wants the codec's content type", async () => {
    expect((await put("/pipe/turn/strict", turn)).status).toBe(415);
    expect((await put("/pipe/turn/strict", turn, { "content-type": "application/x-protobuf" })).status).toBe(200);
    const refused = await put("/pipe/turn/strict", turn, { "content-type": "application/json" });
    expect(await refused.text()).toBe("the body must be application/x-protobuf\n");
  });

  test("what was not foreseen has the status and the words of the API", async () => {
    const response = await served.fetch("/pipe/turn", { method: "POST", body: new Uint8Array([0x10, 1]) });
    expect(response.status).toBe(503);
    expect(await response.text()).toBe("out of order\n");
  });
});

describe("delimited messages", () => {
  const answerOf = async (response: Response) => {
    expect(response.status).toBe(200);
    const { count, length } = fromBinary(PushResponseSchema, await bytesOf(response));
    return { count, length: Number(length) };
  };

  test("are cut out of the body, wherever it is cut itself", async () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(3000), { maxLength: 12 }), cuts, async (sizes, lengths) => {
        const body = Buffer.concat(sizes.map((size) => push("x".repeat(size))));
        const pieces: Uint8Array[] = [];
        for (let at = 0, turns = 0; at < body.length; turns += 1) {
          const length = lengths[turns % lengths.length] ?? 1;
          pieces.push(new Uint8Array(body.subarray(at, at + length)));
          at += length;
        }
        const response = await served.fetch("/pipe/push", {
          method: "PUT",
          body: ReadableStream.from(pieces) as ReadableStream<Uint8Array>,
          duplex: "half",
        } as RequestInit);
        const expected = sizes.filter((size) => size > 0);
        expect(await answerOf(response)).toEqual({
          count: expected.length,
          length: expected.reduce((sum, size) => sum + size, 0),
        });
      }),
      { numRuns: 40 },
    );
  });

  test("of no bytes are passed over", async () => {
    const body = Buffer.concat([Buffer.from([0, 0]), push("a"), Buffer.from([0]), push("b", true)]);
    expect(await answerOf(await put("/pipe/push", body))).toEqual({ count: 2, length: 2 });
  });

  test("arrive while the rest is still under way, and the answer too, on a connection that goes on", async () => {
    const socket = connect(served.port, "127.0.0.1");
    const head = `host: x\r\nx-api-key: ${key}\r\n`;
    const chunk = (bytes: Buffer) =>
      Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
    socket.write(`PUT /pipe/push HTTP/1.1\r\n${head}transfer-encoding: chunked\r\n\r\n`);
    socket.write(chunk(push("early")));
    await expect.poll(() => received).toEqual(["early"]);
    socket.write(chunk(push("late", true)));
    const answer = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    expect(answer.toString("latin1")).toContain("HTTP/1.1 200 OK");
    socket.write(chunk(push("unread")));
    socket.write(`0\r\n\r\nGET /pipe/tail?count=1 HTTP/1.1\r\n${head}\r\n`);
    const next = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    expect(next.toString("latin1")).toContain("HTTP/1.1 200 OK");
    expect(received).toEqual(["early", "late"]);
    socket.destroy();
  });

  test.each<[string, number[], string]>([
    ["a payload that is cut off", [5, 1, 2], "cut off: unexpected EOF\n"],
    ["a length that is cut off", [0x80], "bad length: unexpected EOF\n"],
    ["a length of more than 64 bits", Array(10).fill(0xff), "bad length: varint overflows a 64-bit integer\n"],
    ["a length of 65 bits", [...Array(9).fill(0xff), 2], "bad length: varint overflows a 64-bit integer\n"],
    ["an absurd length", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "bad length: no message has"],
    ["garbage in a message", [2, 0x0a, 9], "bad part: premature EOF\n"],
  ])("%s is refused", async (_what, body, text) => {
    const response = await put("/pipe/push", new Uint8Array(body));
    expect(response.status).toBe(400);
    expect(await response.text()).toContain(text);
  });

  test("an absurd length takes no memory", async () => {
    const before = process.memoryUsage().rss;
    await Promise.all(
      Array.from({ length: 50 }, () => put("/pipe/push", new Uint8Array([0xff, 0xff, 0xff, 0xff, 0x07]))),
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
  });

  test("one that is too large, or too many of them, are 413", async () => {
    expect((await put("/pipe/push", push("x".repeat(100_001)))).status).toBe(413);
    const all = Buffer.concat(Array.from({ length: 101 }, () => push("x".repeat(99_990))));
    const response = await put("/pipe/push", all);
    expect(response.status).toBe(413);
    expect(await response.text()).toBe("the body is too large: at most 10000000 bytes\n");
  });

  test("are not needed: another route of the same RPC takes one message", async () => {
    const one = toBinary(PushRequestSchema, create(PushRequestSchema, { text: "one" }));
    expect(await answerOf(await put("/pipe/push/one", one))).toEqual({ count: 1, length: 3 });
  });

  test("come back as they were sent", async () => {
    const response = await served.fetch("/pipe/tail/delimited?count=2");
    expect(response.headers.get("content-type")).toBe("application/x-protobuf");
    const stream = sizeDelimitedDecodeStream(TailResponseSchema, response.body as unknown as AsyncIterable<Uint8Array>);
    expect((await Array.fromAsync(stream)).map(({ line }) => line)).toEqual(["line 1", "line 2"]);
  });

  test("flow both ways at once", async () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const response = served.fetch("/pipe/flow", { method: "POST", body: readable, duplex: "half" } as RequestInit);
    await writer.write(new Uint8Array(push("ping")));
    const answers = sizeDelimitedDecodeStream(
      FlowResponseSchema,
      (await response).body as unknown as AsyncIterable<Uint8Array>,
    )[Symbol.asyncIterator]();
    expect((await answers.next()).value?.text).toBe("ping");
    await writer.write(new Uint8Array(push("pong")));
    expect((await answers.next()).value?.text).toBe("pong");
    await writer.close();
    expect((await answers.next()).done).toBe(true);
  });

  test("a caller that leaves in the middle ends the call", async () => {
    const socket = connect(served.port, "127.0.0.1");
    socket.write(`PUT /pipe/push HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\ncontent-length: 1000\r\n\r\n`);
    socket.write(push("half"));
    await expect.poll(() => received).toEqual(["half"]);
    served.logged.length = 0;
    socket.destroy();
    await sleep(50);
    expect(served.logged).toEqual([]);
    expect((await served.fetch("/pipe/turn", { method: "POST" })).status).toBe(200);
  });
});
