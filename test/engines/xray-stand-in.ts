import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

/** What a real Xray does only by chance: an API that answers each call as the test says. */
export interface XrayStandIn {
  readonly directory: string;
  readonly socketPath: string;
  /** Every connection that was ever made. */
  readonly sessions: readonly ServerHttp2Session[];
  /** Ends every connection as a killed process does: without a word. */
  drop(): void;
  /** Takes the calls from now on. `message` is the request's, `path` its method's. */
  answer: (stream: ServerHttp2Stream, message: Uint8Array, path: string) => void;
  close(): Promise<void>;
}

/** Starts a stand-in that answers nothing. */
export async function startXrayStandIn(): Promise<XrayStandIn> {
  const directory = await mkdtemp(join(tmpdir(), "garrison-api-"));
  const sessions: ServerHttp2Session[] = [];
  const sockets: Socket[] = [];
  const server = createServer();
  const socketPath = join(directory, "api.sock");
  const standIn: XrayStandIn = {
    directory,
    socketPath,
    sessions,
    drop: () => {
      for (const socket of sockets) socket.destroy();
    },
    answer: () => undefined,
    async close() {
      const closed = once(server, "close");
      for (const session of sessions) session.destroy();
      server.close();
      await closed;
      await rm(directory, { recursive: true });
    },
  };
  server.on("connection", (socket) => sockets.push(socket));
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => undefined);
    stream.once("data", (frame: Buffer) => standIn.answer(stream, frame.subarray(5), headers[":path"] ?? ""));
  });
  await once(server.listen(socketPath), "listening");
  return standIn;
}

/** Answers a call with a message. */
export function reply<T extends DescMessage>(stream: ServerHttp2Stream, schema: T, init?: MessageInitShape<T>): void {
  const message = toBinary(schema, create(schema, init));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  finish(stream, Buffer.concat([head, message]));
}

/** Answers a call with these bytes, and says that it went well. */
export function finish(stream: ServerHttp2Stream, body: Uint8Array): void {
  stream.respond({ "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(body);
}

/** Answers a call with an error, whose text is percent-encoded. */
export function refuse(stream: ServerHttp2Stream, code: number, text: string): void {
  const headers = { "content-type": "application/grpc", "grpc-status": code, "grpc-message": text };
  stream.respond(headers, { endStream: true });
}
