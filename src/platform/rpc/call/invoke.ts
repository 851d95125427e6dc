import { create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type HandlerContext,
  type Interceptor,
  type MethodImplSpec,
  type StreamRequest,
  type StreamResponse,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";

/** A unary method of the contract with its implementation. */
export type UnarySpec = Extract<MethodImplSpec, { kind: "unary" }>;
/** A streaming method of the contract with its implementation. */
export type StreamSpec = Exclude<MethodImplSpec, { kind: "unary" }>;

// As the router does it: the interceptors, then the implementation, whose answer is made a full message. Not by the
// router's own functions, since those for streams are chains of async generators.

/** Runs a unary implementation within its interceptors. What they set in header and trailer lands in the context. */
export async function invokeUnary(
  spec: UnarySpec,
  interceptors: readonly Interceptor[],
  context: HandlerContext,
  message: Message,
): Promise<Message> {
  const { method } = spec;
  const run = async (request: UnaryRequest | StreamRequest): Promise<UnaryResponse> => {
    if (request.stream) throw mixedKinds();
    const output = await spec.impl(request.message, request === asked ? context : seen(context, request));
    return { ...answered(context), stream: false, method, message: create(method.output, output) };
  };
  const asked = new UnaryAsked(method, context, message);
  const response = await within(interceptors, run)(asked);
  if (response.stream) throw mixedKinds();
  adopt(response.header, context.responseHeader);
  adopt(response.trailer, context.responseTrailer);
  return response.message;
}

// Asks the context for its signal only when it is asked for it itself.
class UnaryAsked implements UnaryRequest {
  readonly stream = false;
  readonly method: UnaryRequest["method"];
  readonly message: Message;
  readonly service: UnaryRequest["service"];
  readonly requestMethod: string;
  readonly header: Headers;
  readonly contextValues: UnaryRequest["contextValues"];
  readonly #context: HandlerContext;

  constructor(method: UnaryRequest["method"], context: HandlerContext, message: Message) {
    this.method = method;
    this.message = message;
    this.service = context.service;
    this.requestMethod = context.requestMethod;
    this.header = context.requestHeader;
    this.contextValues = context.values;
    this.#context = context;
  }

  get url(): string {
    return this.#context.url;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }
}

/**
 * Starts a streaming implementation within its interceptors. What they set in the header lands in the context. The
 * caller reads the messages of the response to their end, and then calls {@link adoptTrailer}.
 */
export async function invokeStream(
  spec: StreamSpec,
  interceptors: readonly Interceptor[],
  context: HandlerContext,
  messages: AsyncIterable<Message>,
): Promise<StreamResponse> {
  const { method } = spec;
  const run = async (request: UnaryRequest | StreamRequest): Promise<StreamResponse> => {
    if (!request.stream) throw mixedKinds();
    const output = await start(spec, request.message, seen(context, request));
    return { ...answered(context), stream: true, method, message: output };
  };
  const response = await within(interceptors, run)({ ...asked(context), stream: true, method, message: messages });
  if (!response.stream) throw mixedKinds();
  adopt(response.header, context.responseHeader);
  return response;
}

/** Moves what interceptors set in the trailer of a response to the context. */
export function adoptTrailer(response: StreamResponse, context: HandlerContext): void {
  adopt(response.trailer, context.responseTrailer);
}

type AnyFn = Parameters<Interceptor>[0];

function within(interceptors: readonly Interceptor[], innermost: AnyFn): AnyFn {
  return interceptors.reduceRight((next, interceptor) => interceptor(next), innermost);
}

async function single<T>(messages: AsyncIterable<T>): Promise<T> {
  const iterator = messages[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) {
    throw new ConnectError("protocol error: missing input message for server-streaming method", Code.Unimplemented);
  }
  const second = await iterator.next();
  if (second.done !== true) {
    throw new ConnectError(
      "protocol error: received extra input message for server-streaming method",
      Code.Unimplemented,
    );
  }
  return first.value;
}

async function start(
  spec: StreamSpec,
  messages: AsyncIterable<Message>,
  context: HandlerContext,
): Promise<AsyncIterable<Message>> {
  switch (spec.kind) {
    case "client_streaming":
      return one(create(spec.method.output, await spec.impl(messages, context)));
    case "server_streaming":
      return full(spec.method.output, spec.impl(await single(messages), context));
    case "bidi_streaming":
      return full(spec.method.output, spec.impl(messages, context));
  }
}

function one<T>(value: T): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      let given = false;
      return {
        next() {
          if (given) return Promise.resolve({ done: true, value: undefined });
          given = true;
          return Promise.resolve({ done: false, value });
        },
      };
    },
  };
}

// Handlers may yield plain objects; interceptors and the serializer expect messages.
function full<D extends DescMessage>(desc: D, source: AsyncIterable<MessageInitShape<D>>): AsyncIterable<Message> {
  const made = (result: IteratorResult<MessageInitShape<D>>): IteratorResult<Message> =>
    result.done === true ? result : { done: false, value: create(desc, result.value) };
  return {
    [Symbol.asyncIterator]() {
      const inner = source[Symbol.asyncIterator]();
      const messages: AsyncIterator<Message> = { next: () => inner.next().then(made) };
      const { return: leave, throw: raise } = inner;
      if (leave !== undefined) messages.return = (value) => leave.call(inner, value).then(made);
      if (raise !== undefined) messages.throw = (cause) => raise.call(inner, cause).then(made);
      return messages;
    },
  };
}

function asked(context: HandlerContext) {
  return {
    service: context.service,
    requestMethod: context.requestMethod,
    url: context.url,
    signal: context.signal,
    header: context.requestHeader,
    contextValues: context.values,
  };
}

function answered(context: HandlerContext) {
  return { service: context.service, header: context.responseHeader, trailer: context.responseTrailer };
}

/** The context as interceptors have left it to the handler. */
function seen(context: HandlerContext, request: UnaryRequest | StreamRequest): HandlerContext {
  return {
    method: context.method,
    service: request.service,
    protocolName: context.protocolName,
    requestMethod: context.requestMethod,
    url: context.url,
    // A copy of the request has no signal.
    signal: request.signal ?? context.signal,
    timeoutMs: context.timeoutMs,
    requestHeader: request.header,
    responseHeader: context.responseHeader,
    responseTrailer: context.responseTrailer,
    values: request.contextValues,
  };
}

function adopt(from: Headers, to: Headers): void {
  if (from === to) return;
  for (const name of [...to.keys()]) to.delete(name);
  for (const [name, value] of from) to.set(name, value);
}

function mixedKinds(): ConnectError {
  return new ConnectError("an interceptor mixed up unary and streaming", Code.Internal);
}
