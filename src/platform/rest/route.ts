import { fromBinary, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type Interceptor, type MethodImplSpec } from "@connectrpc/connect";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Response } from "../listener/listener.ts";
import { clientLeft } from "../rpc/call/client-left.ts";
import { adoptTrailer, invokeStream, invokeUnary, type StreamSpec, type UnarySpec } from "../rpc/call/invoke.ts";
import type { RunningCalls } from "../rpc/call/running-calls.ts";
import { kDelivery, kRequestId } from "../rpc/call-context.ts";
import { type Gate, passGate } from "../rpc/gate.ts";
import { PublicError } from "../rpc/public-error.ts";
import type { ServedService } from "../rpc/served-service.ts";
import { filled } from "./bad-request.ts";
import type { RestBinding } from "./binding.ts";
import { cutDelimited } from "./delimited.ts";
import type { ErrorWriter, WrittenError } from "./error-writer.ts";
import { etagOf, isKnown } from "./etag.ts";
import { createFramer } from "./event-stream.ts";
import type { Readers } from "./json/reader.ts";
import type { Writers } from "./json/writer.ts";
import { kReadyBody } from "./ready-body.ts";
import { checkContentType, hasBody, readBody } from "./request-body.ts";
import { createRequestReader } from "./request-reader.ts";
import { createResponseWriter } from "./response-writer.ts";
import { openRestCall, type RestCall } from "./rest-call.ts";
import { answerStream } from "./stream-answer.ts";

/** What a route is made of. */
export interface RouteOptions {
  binding: RestBinding;
  spec: MethodImplSpec;
  gate: Gate;
  /** Outermost first. */
  interceptors: readonly Interceptor[];
  contextValues: (request: FastifyRequest) => ContextValues;
  running: RunningCalls;
  readers: Readers;
  writers: Writers;
  writeError: ErrorWriter;
  /** What those are told whose body is too large. */
  accepted: ServedService["accepted"];
  /** Told of errors that no interceptor has seen. */
  onDefect: (cause: unknown) => void;
  streams: StreamTimes;
}

/** The times of streams. */
interface StreamTimes {
  /** Silence after which a keep-alive comment is sent. */
  readonly keepAliveMs: number;
  /** How long the first message, or an error in its place, is waited for before the head is sent. */
  readonly headAfterMs: number;
}

/** Answers the requests of a route. Never rejects. */
export type Route = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/** Compiles a route: gate, body, interceptors and implementation, answer. */
export function createRoute(options: RouteOptions): Route {
  const { binding, gate, writeError, onDefect } = options;
  const answer =
    options.spec.kind === "unary" ? createUnary(options, options.spec) : createStream(options, options.spec);
  return async (request, reply) => {
    const call = openRestCall(request, reply, binding.method, options.contextValues(request), options.running);
    try {
      const pending = passGate(gate, call.context);
      if (pending !== undefined) await pending;
      await answer(call, request, reply);
    } catch (thrown) {
      const cause = withAccepted(thrown, options.accepted);
      call.context.values.get(kDelivery).replaced();
      try {
        if (!(cause instanceof ConnectError)) onDefect(cause);
        if (!call.hasLeft()) sendError(reply, call, writeError(cause, call.context.values.get(kRequestId)));
      } catch (defect) {
        onDefect(defect);
        reply.raw.destroy();
      }
    } finally {
      call.end();
    }
  };
}

type Answer = (call: RestCall, request: FastifyRequest, reply: FastifyReply) => Promise<void>;

function createUnary({ binding, interceptors, readers, writers }: RouteOptions, spec: UnarySpec): Answer {
  const readRequest = createBodyAndRequestReader(binding, readers);
  const send = createSender(binding, writers);
  return async (call, request, reply) => {
    const input = readRequest(request);
    const message = input instanceof Promise ? await input : input;
    send(call, request, reply, await invokeUnary(spec, interceptors, call.context, message));
  };
}

function createStream(options: RouteOptions, spec: StreamSpec): Answer {
  const { binding, interceptors, readers, writers, writeError, streams } = options;
  const readRequest = createBodyAndRequestReader(binding, readers);
  const readMessages = createDelimitedReader(binding);
  const framerFor = binding.responseFraming && createFramer(binding, createResponseWriter(binding, writers));
  const send = createSender(binding, writers);
  return async (call, request, reply) => {
    const { context } = call;
    const messages = binding.delimitedRequest ? readMessages(request) : only(await readRequest(request));
    const response = await invokeStream(spec, interceptors, context, messages);
    if (framerFor === undefined) {
      const output = await oneOf(response.message, binding);
      adoptTrailer(response, context);
      send(call, request, reply, output);
      return;
    }
    const framer = framerFor(request);
    await answerStream({
      ...streams,
      framer,
      messages: response.message,
      signal: context.signal,
      writeError: (cause) => writeError(cause, context.values.get(kRequestId)).body,
      begin: () => beginStream(binding, call, reply, framer.header),
    });
  };
}

/** Reads the one message of a request: at once when it has no body, since waiting has a price. */
function createBodyAndRequestReader(binding: RestBinding, readers: Readers) {
  const read = createRequestReader(binding, readers);
  const takesBody = binding.body !== "none";
  return (request: FastifyRequest): Message | Promise<Message> => {
    if (!takesBody || !hasBody(request)) return read(request, undefined);
    checkContentType(request, binding);
    return readBody(request, binding).then((body) => read(request, body));
  };
}

/** Says what would have been accepted instead. */
function withAccepted(cause: unknown, accepted: RouteOptions["accepted"]): unknown {
  if (accepted !== undefined && cause instanceof PublicError && cause.httpStatus === 413 && cause.details.length === 0)
    cause.details.push(accepted);
  return cause;
}

function createDelimitedReader(binding: RestBinding) {
  const { input } = binding.method;
  const { sentences } = binding.errors;
  return async function* (request: FastifyRequest): AsyncGenerator<Message, void, undefined> {
    checkContentType(request, binding);
    for await (const bytes of cutDelimited(piecesOf(request), binding)) {
      let message: Message;
      try {
        message = fromBinary(input, bytes);
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new PublicError(filled(sentences.malformedMessage, reason), Code.InvalidArgument);
      }
      yield message;
    }
  };
}

async function* piecesOf({ raw }: FastifyRequest): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    // A handler that has seen enough must not end the connection with the body.
    yield* raw.iterator({ destroyOnReturn: false });
  } catch {
    throw clientLeft();
  }
}

type Sender = (call: RestCall, request: FastifyRequest, reply: FastifyReply, message: Message) => void;

/** Sends one message. */
function createSender(binding: RestBinding, writers: Writers): Sender {
  const writer = createResponseWriter(binding, writers);
  const { successStatus, cacheControl, etag } = binding;
  const hasNoBody = successStatus === 204 || successStatus === 205;
  return (call, request, reply, message) => {
    if (call.hasLeft()) return;
    const { "if-none-match": known } = request.headers;
    const ownTag = etag ? (call.responseHeader.get("etag") ?? undefined) : undefined;
    const isKnownUnwritten = ownTag !== undefined && isKnown(known, ownTag);
    const write = () => call.context.values.get(kReadyBody) ?? writer.write(message);
    // Before any header is set: should it fail, they are not those of an error.
    const body = hasNoBody || isKnownUnwritten ? undefined : write();
    copyHeader(call, reply);
    if (cacheControl !== undefined) reply.header("cache-control", cacheControl);
    reply.code(isKnownUnwritten ? 304 : successStatus);
    if (body === undefined) {
      reply.send();
      return;
    }
    if (etag) {
      const tag = ownTag ?? etagOf(body);
      reply.header("etag", tag);
      if (isKnown(known, tag)) {
        reply.code(304).send();
        return;
      }
    }
    reply.header("content-type", writer.contentTypeOf(message)).send(body);
  };
}

function beginStream(
  { successStatus, cacheControl }: RestBinding,
  call: RestCall,
  reply: FastifyReply,
  header: Readonly<Record<string, string>>,
): Response {
  reply.headers(header);
  if (cacheControl !== undefined) reply.header("cache-control", cacheControl);
  copyHeader(call, reply);
  reply.hijack();
  const response: Response = reply.raw;
  response.statusCode = successStatus;
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) response.setHeader(name, value);
  }
  response.flushHeaders();
  return response;
}

function sendError(reply: FastifyReply, call: RestCall, { status, header, body }: WrittenError): void {
  copyHeader(call, reply);
  reply.code(status).headers(header).send(body);
}

function copyHeader({ responseHeader }: RestCall, reply: FastifyReply): void {
  const fields = responseHeader.toFields();
  for (const name in fields) {
    const value = fields[name];
    if (value !== undefined) reply.header(name, value);
  }
}

async function* only<T>(value: T): AsyncGenerator<T, void, undefined> {
  yield value;
}

/** The one message of a response that is no stream. Read to the end, which is when interceptors are done. */
async function oneOf(messages: AsyncIterable<Message>, { method }: RestBinding): Promise<Message> {
  const received = await Array.fromAsync(messages);
  const [message] = received;
  if (message === undefined || received.length > 1) throw new TypeError(`${method} did not answer exactly one message`);
  return message;
}
