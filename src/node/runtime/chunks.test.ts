import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type UsersChunk, UsersChunkSchema } from "../../../gen/service/node_pb.ts";
import { assembleChunks, ChunksTooLarge, IncompleteChunks } from "./chunks.ts";

type Chunk = MessageInitShape<typeof UsersChunkSchema>;

async function* streamOf(chunks: Iterable<Chunk>): AsyncGenerator<UsersChunk> {
  for (const chunk of chunks) yield create(UsersChunkSchema, chunk);
}

async function emailsOf(...chunks: Chunk[]): Promise<string[]> {
  return (await assembleChunks(streamOf(chunks))).map((user) => user.email);
}

const users = (...emails: string[]) => emails.map((email) => ({ email }));

describe("assembleChunks", () => {
  it("orders by index, whatever the order of arrival", async () => {
    expect(
      await emailsOf(
        { index: 1n, users: users("c", "d") },
        { index: 0n, users: users("a", "b") },
        { index: 2n, users: users("e"), last: true },
      ),
    ).toEqual(["a", "b", "c", "d", "e"]);
  });

  it("appends chunks of the same index", async () => {
    expect(
      await emailsOf(
        { index: 0n, users: users("a") },
        { index: 1n, users: users("c") },
        { index: 0n, users: users("b") },
        { index: 1n, users: users("d"), last: true },
      ),
    ).toEqual(["a", "b", "c", "d"]);
  });

  it("reads nothing after the last chunk, and ignores indexes above it", async () => {
    let read = 0;
    function* chunks(): Generator<Chunk> {
      yield { index: 7n, users: users("ignored") };
      yield { index: 0n, users: users("a"), last: true };
      read += 1;
      yield { index: 0n, users: users("never"), last: true };
    }
    const assembled = await assembleChunks(streamOf(chunks()));
    expect(assembled.map((user) => user.email)).toEqual(["a"]);
    expect(read).toBe(0);
  });

  it.each<[string, Chunk[]]>([
    ["missing final chunk indicator", []],
    ["missing final chunk indicator", [{ index: 0n, users: users("a") }]],
    ["missing chunk index 0", [{ index: 1n, users: users("a"), last: true }]],
    [
      "missing chunk index 1",
      [
        { index: 0n, users: users("a") },
        { index: 18446744073709551615n, users: users("a"), last: true },
      ],
    ],
    ["no users received", [{ index: 0n, last: true }]],
  ])("says %s", async (text, chunks) => {
    const refused = await emailsOf(...chunks).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(IncompleteChunks);
    expect(refused).toMatchObject({ message: text });
  });

  it("gives up at the limit of users without reading on", async () => {
    let read = 0;
    function* endless(): Generator<Chunk> {
      for (; ; read += 1) yield { index: 0n, users: users("a", "b") };
    }
    const upload = assembleChunks(streamOf(endless()), { maxUsers: 10, maxBytes: 1e6 });
    await expect(upload).rejects.toBeInstanceOf(ChunksTooLarge);
    expect(read).toBe(5);
  });

  it.each<[string, () => Chunk]>([
    ["empty chunks", () => ({})],
    ["long texts", () => ({ users: [{ email: "a".repeat(1_000) }] })],
    ["long tags", () => ({ users: [{ inbounds: ["a".repeat(1_000)] }] })],
    ["long credentials", () => ({ users: [{ proxies: { trojan: { password: "a".repeat(1_000) } } }] })],
    [
      "unknown fields",
      () => fromBinary(UsersChunkSchema, new Uint8Array([0xfa, 0x01, 0x80, 0x08, ...Array(1_024).fill(1)])),
    ],
  ])("gives up on an endless stream of %s", async (_, chunk) => {
    let bytes = 0;
    function* endless(): Generator<Chunk> {
      for (let index = 0n; ; index += 1n) {
        const next = create(UsersChunkSchema, { ...chunk(), index });
        bytes += toBinary(UsersChunkSchema, next).length;
        yield next;
      }
    }
    const upload = assembleChunks(streamOf(endless()), { maxUsers: 1e6, maxBytes: 100_000 });
    await expect(upload).rejects.toBeInstanceOf(ChunksTooLarge);
    expect(bytes).toBeLessThan(110_000);
  });

  it("passes on what the stream throws", async () => {
    async function* broken(): AsyncGenerator<UsersChunk> {
      yield create(UsersChunkSchema, { users: users("a") });
      throw new Error("reset");
    }
    await expect(assembleChunks(broken())).rejects.toThrow("reset");
  });
});
