import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Compression, compressedFlag, compressionNegotiate } from "@connectrpc/connect/protocol";
import { parseTimeout } from "@connectrpc/connect/protocol-grpc";
import { passGate } from "../gate.ts";
import { type Call, openCall } from "./call.ts";
import { clientLeft } from "./client-left.ts";
import { asBuffer, type Codec } from "./codecs.ts";
import type { Frame } from "./frames.ts";
import { GrpcReply } from "./grpc-reply.ts";
import { adoptTrailer, invokeStream, invokeUnary, single } from "./invoke.ts";
import type { ShortMethod } from "./methods.ts";
import { RequestMessages } from "./request-messages.ts";
import { field, type Serving } from "./serving.ts";

/** Serves a gRPC call of any kind from its stream. False: it is left to the router, untouched. */
export function serveGrpc(
  serving: Serving,
  method: ShortMethod,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  url: string,
): boolean {
  const { acceptCompression, compressMinBytes, maxTimeoutMs, readMaxBytes } = serving.limits;
  const accepted = field(headers, "grpc-accept-encoding");
  const encoding = compressionNegotiate(
    acceptCompression,
    field(headers, "grpc-encoding"),
    accepted,
    "grpc-accept-encoding",
  );
  const timeout = parseTimeout(field(headers, "grpc-timeout"), maxTimeoutMs);
  if (encoding.error !== undefined || timeout.error !== undefined) return false;

  const call = openCall({
    method,
    protocolName: "grpc",
    url,
    timeoutMs: timeout.timeoutMs,
    requestFields: headers,
    responseFields: { ":status": 200, "content-type": "application/grpc+proto" },
    trailerFields: { "grpc-status": "0" },
    values: serving.contextValues(stream, headers),
  });
  if (encoding.response !== null) call.responseHeader.set("grpc-encoding", encoding.response.name);
  const reply = new GrpcReply({ stream, call, compression: encoding.response, compressMinBytes });
  const { parse } = method.codecs.binary;
  const messages = new RequestMessages({
    stream,
    readMaxBytes,
    decode: (frame) => decode(frame, encoding.request, readMaxBytes, parse),
  });
  stream.on("close", () => {
    messages.closed();
    if (!call.context.signal.aborted) call.end(clientLeft());
  });
  void answer(serving, method, call, messages, reply);
  return true;
}

/** Never rejects: what cannot be answered resets the stream. */
async function answer(
  serving: Serving,
  { path, spec, interceptors, codecs }: ShortMethod,
  call: Call,
  messages: RequestMessages<Message>,
  reply: GrpcReply,
): Promise<void> {
  const { serialize } = codecs.binary;
  try {
    const admitted = passGate(serving.gate, call.context);
    if (admitted !== undefined) await admitted;
    if (spec.kind === "unary") {
      const output = await invokeUnary(spec, interceptors, call.context, await single(messages, "unary"));
      const compressing = reply.answer(serialize(output));
      if (compressing !== undefined) await compressing;
    } else {
      const response = await invokeStream(spec, interceptors, call.context, messages);
      await sendAll(response.message, serialize, reply);
      adoptTrailer(response, call.context);
      reply.finish();
    }
  } catch (error) {
    try {
      reply.fail(error);
    } catch (refused) {
      serving.log.debug({ err: refused, method: path }, "answer not delivered");
      reply.reset();
    }
  } finally {
    call.end();
  }
}

async function sendAll(source: AsyncIterable<Message>, serialize: (message: Message) => Uint8Array, reply: GrpcReply) {
  const iterator = source[Symbol.asyncIterator]();
  for (let result = await iterator.next(); result.done !== true; result = await iterator.next()) {
    try {
      const wait = reply.send(serialize(result.value));
      if (wait !== undefined) await wait;
      if (reply.closed) throw clientLeft();
    } catch (error) {
      // The handler learns at its `yield` that nobody listens; what it makes of it is its own affair.
      await (iterator.throw?.(error) ?? iterator.return?.())?.catch(() => undefined);
      throw error;
    }
  }
}

function decode(
  { flags, buffer, start, end }: Frame,
  compression: Compression | null,
  readMaxBytes: number,
  parse: Codec["parse"],
): Message | Promise<Message> {
  if ((flags & compressedFlag) === 0) return parse(buffer, start, end);
  if (compression === null) {
    throw new ConnectError("received compressed envelope, but do not know how to decompress", Code.Internal);
  }
  return compression
    .decompress(buffer.subarray(start, end), readMaxBytes)
    .then((bytes) => parse(asBuffer(bytes), 0, bytes.length));
}
