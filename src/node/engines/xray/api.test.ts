import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import { HandlerService } from "../../../../gen/xray/app/proxyman/command/command_pb.ts";
import { QueryStatsResponseSchema, StatsService } from "../../../../gen/xray/app/stats/command/command_pb.ts";
import { EngineUnreachable } from "../engine-error.ts";
import { XrayApi, XrayRefusal } from "./api.ts";

// What a real Xray does only by chance: a server that answers each call as the test says.
let directory: string;
let server: Http2Server;
let api: XrayApi;
let answer: (stream: ServerHttp2Stream) => void;
const sessions: ServerHttp2Session[] = [];

const { queryStats } = StatsService.method;
const { alterInbound } = HandlerService.method;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-api-"));
  server = createServer();
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => undefined);
    answer(stream);
  });
  const path = join(directory, "api.sock");
  await once(server.listen(path), "listening");
  api = new XrayApi(path);
});

afterEach(async () => {
  api.close();
  for (const session of sessions.splice(0)) session.destroy();
  const closed = once(server, "close");
  server.close();
  await closed;
  await rm(directory, { recursive: true });
});

function reply(stream: ServerHttp2Stream, stat: { name: string; value: bigint }[] = []): void {
  const message = toBinary(QueryStatsResponseSchema, create(QueryStatsResponseSchema, { stat }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  stream.respond({ "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(Buffer.concat([head, message]));
}

function refuse(stream: ServerHttp2Stream, code: number, message: string): void {
  stream.respond(
    { "content-type": "application/grpc", "grpc-status": code, "grpc-message": message },
    { endStream: true },
  );
}

test("many calls go over one connection, each with its own answer", async () => {
  answer = (stream) =>
    stream.once("data", (frame: Buffer) => reply(stream, [{ name: `${frame.subarray(7)}`, value: 1n }]));
  const names = Array.from({ length: 500 }, (_, index) => `pattern-${index}`);
  const replies = await Promise.all(names.map((pattern) => api.call(queryStats, { pattern })));
  expect(replies.map(({ stat }) => stat[0]?.name)).toEqual(names);
  expect(sessions).toHaveLength(1);
});

test("a reply of many megabytes comes whole", async () => {
  const name = "user>>>somebody@example.org>>>traffic>>>uplink";
  const stats = Array.from({ length: 300_000 }, (_, index) => ({ name, value: BigInt(index) << 33n }));
  answer = (stream) => reply(stream, stats);
  const { stat } = await api.call(queryStats, { pattern: "user" });
  expect(stat).toHaveLength(stats.length);
  expect(stat.at(-1)).toMatchObject({ name, value: 299_999n << 33n });
});

test("what Xray refuses is told in its words", async () => {
  answer = (stream) => refuse(stream, 2, "User%20%D0%B0 already exists.");
  await expect(api.call(alterInbound, {})).rejects.toThrow(new XrayRefusal("User а already exists."));
});

test("an error of the transport is not Xray's refusal", async () => {
  answer = (stream) => refuse(stream, 12, "unknown service");
  await expect(api.call(alterInbound, {})).rejects.toThrow(new EngineUnreachable("unknown service (gRPC code 12)"));
});

test("a reply that is cut off, or is none, is an error", async () => {
  answer = (stream) => {
    stream.respond({ "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(Buffer.from([0, 0, 0, 0, 9, 1]));
  };
  await expect(api.call(queryStats, {})).rejects.toThrow(EngineUnreachable);
  answer = (stream) => stream.respond({ ":status": 502 }, { endStream: true });
  await expect(api.call(queryStats, {})).rejects.toThrow(EngineUnreachable);
});

test("a call that is not answered ends in time, and the next one works", async () => {
  answer = () => undefined;
  await expect(api.call(queryStats, {}, 50)).rejects.toThrow("xray did not answer within 50 ms");
  answer = (stream) => reply(stream);
  await expect(api.call(queryStats, {})).resolves.toMatchObject({ stat: [] });
});

test("a read is repeated when the connection turns out to be gone; a change is not", async () => {
  answer = (stream) => reply(stream);
  await api.call(queryStats, {});
  const dieOnce = (then: typeof answer) => (stream: ServerHttp2Stream) => {
    answer = then;
    stream.session?.destroy();
  };
  answer = dieOnce((stream) => reply(stream, [{ name: "second", value: 2n }]));
  await expect(api.call(queryStats, {})).resolves.toMatchObject({ stat: [{ name: "second" }] });
  answer = dieOnce((stream) => reply(stream));
  await expect(api.call(alterInbound, {})).rejects.toThrow(EngineUnreachable);
  await expect(api.call(alterInbound, {})).resolves.toBeDefined();
  expect(sessions).toHaveLength(3);
});

test("without anybody listening a call fails at once", async () => {
  const nobody = new XrayApi(join(directory, "nobody.sock"));
  await expect(nobody.call(queryStats, {})).rejects.toThrow(/ENOENT/);
  nobody.close();
});

test("closing ends calls in flight", async () => {
  answer = () => undefined;
  const call = api.call(queryStats, {});
  setTimeout(() => api.close(), 20);
  await expect(call).rejects.toThrow(EngineUnreachable);
  await expect(api.call(queryStats, {})).rejects.toThrow("the connection to xray is closed");
});
