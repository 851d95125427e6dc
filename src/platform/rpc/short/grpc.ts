import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { type Compression, compressedFlag, compressionNegotiate } from "@connectrpc/connect/protocol";
import { parseTimeout } from "@connectrpc/connect/protocol-grpc";
import { Call } from "../call/call.ts";
import { clientLeft } from "../call/client-left.ts";
import { adoptTrailer, invokeStream, invokeUnary } from "../call/invoke.ts";
import { kDelivery } from "../call-context.ts";
import { passGate } from "../gate.ts";
import { headAfterMs } from "../head-after.ts";
import { asBuffer, type Codec } from "./codecs.ts";
import { type Frame, prefixBytes } from "./frames.ts";
import { GrpcReply } from "./grpc-reply.ts";
import type { ShortMethod } from "./methods.ts";
import { readRequestMessage } from "./request-message.ts";
import { type RequestBody, RequestMessages } from "./request-messages.ts";
import { field, type Serving } from "./serving.ts";

/** Serves a gRPC call of any kind from its stream. False: it is left to the router, untouched. */
export function serveGrpc(
  serving: Serving,
  method: ShortMethod,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  origin: string,
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

  const call = new Call({
    method: method.spec.method,
    protocolName: "grpc",
    requestMethod: "POST",
    url: () => origin + method.path,
    timeoutMs: timeout.timeoutMs,
    requestFields: headers,
    responseFields: { ":status": 200, "content-type": "application/grpc+proto" },
    trailerFields: { "grpc-status": "0" },
    values: serving.contextValues(stream, headers),
    running: method.running,
  });
  if (encoding.response !== null) call.responseHeader.set("grpc-encoding", encoding.response.name);
  const reply = new GrpcReply({ stream, call, compression: encoding.response, compressMinBytes });
  const { parse } = method.codecs.binary;
  const body: RequestBody = {
    stream,
    readMaxBytes,
    decode: (frame) => decode(frame, encoding.request, readMaxBytes, parse),
  };
  stream.on("close", () => {
    if (!call.isOver) call.abort(clientLeft());
  });
  void answer(serving, method, call, body, reply);
  return true;
}

/** Never rejects: what cannot be answered resets the stream. */
async function answer(
  serving: Serving,
  method: ShortMethod,
  call: Call,
  body: RequestBody,
  reply: GrpcReply,
): Promise<void> {
  try {
    const admitted = passGate(serving.gate, call);
    if (admitted !== undefined) await admitted;
    await run(method, call, body, reply);
  } catch (error) {
    call.values.get(kDelivery).replaced();
    try {
      reply.fail(error);
    } catch (refused) {
      serving.log.debug({ err: refused, method: method.path }, "answer not delivered");
      reply.reset();
    }
  } finally {
    call.end();
  }
}

async function run(
  { spec, interceptors, codecs }: ShortMethod,
  context: HandlerContext,
  body: RequestBody,
  reply: GrpcReply,
): Promise<void> {
  const { serialize } = codecs.binary;
  if (spec.kind === "unary") {
    const message = await readRequestMessage(body);
    await reply.answer(serialize(await invokeUnary(spec, interceptors, context, message), prefixBytes));
  } else {
    const response = await invokeStream(spec, interceptors, context, new RequestMessages(body));
    const head = spec.kind === "server_streaming" ? setTimeout(() => reply.begin(), headAfterMs) : undefined;
    try {
      await sendAll(response.message, serialize, reply);
    } finally {
      clearTimeout(head);
    }
    adoptTrailer(response, context);
    reply.finish();
  }
}

async function sendAll(source: AsyncIterable<Message>, serialize: Codec["serialize"], reply: GrpcReply) {
  const iterator = source[Symbol.asyncIterator]();
  for (let result = await iterator.next(); result.done !== true; result = await iterator.next()) {
    try {
      const wait = reply.send(serialize(result.value, prefixBytes));
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
