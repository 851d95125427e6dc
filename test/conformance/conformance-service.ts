import { setTimeout as delay } from "node:timers/promises";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { type ServedService, serveService } from "../../src/platform/rpc/served-service.ts";
import {
  type BidiStreamRequest,
  BidiStreamRequestSchema,
  ClientStreamRequestSchema,
  ConformancePayload_RequestInfoSchema,
  type ConformancePayloadSchema,
  ConformanceService,
  type Error as ErrorMessage,
  type Header,
  IdempotentUnaryRequestSchema,
  type ConformancePayload_RequestInfoSchema as RequestInfoSchema,
  ServerStreamRequestSchema,
  type StreamResponseDefinition,
  UnaryRequestSchema,
  type UnaryResponseDefinition,
} from "./gen/connectrpc/conformance/v1/service_pb.ts";

type RequestInfo = MessageInitShape<typeof RequestInfoSchema>;
type Payload = MessageInitShape<typeof ConformancePayloadSchema>;

/** The service that the conformance suite calls. What a call answers is told by its request. */
export const conformanceService: ServedService = serveService(
  ConformanceService,
  {
    async unary(request, context) {
      return { payload: await answerUnary(request.responseDefinition, [pack(UnaryRequestSchema, request)], context) };
    },
    async idempotentUnary(request, context) {
      const packed = pack(IdempotentUnaryRequestSchema, request);
      return { payload: await answerUnary(request.responseDefinition, [packed], context) };
    },
    async clientStream(requests, context) {
      let definition: UnaryResponseDefinition | undefined;
      const received: Any[] = [];
      for await (const request of requests) {
        if (received.length === 0) definition = request.responseDefinition;
        received.push(pack(ClientStreamRequestSchema, request));
      }
      return { payload: await answerUnary(definition, received, context) };
    },
    async *serverStream(request, context) {
      const definition = request.responseDefinition;
      if (definition === undefined) return;
      const about = info([pack(ServerStreamRequestSchema, request)], context);
      announce(definition, context);
      for (const [index, data] of definition.responseData.entries()) {
        await delay(definition.responseDelayMs);
        yield { payload: { data, ...(index === 0 && { requestInfo: about }) } };
      }
      if (definition.error !== undefined) {
        throw failure(definition.error, definition.responseData.length === 0 ? about : undefined);
      }
    },
    bidiStream: answerBidi,
  },
  { validated: false },
);

async function* answerBidi(requests: AsyncIterable<BidiStreamRequest>, context: HandlerContext) {
  let definition: StreamResponseDefinition | undefined;
  let fullDuplex = false;
  let first = true;
  let received: Any[] = [];
  let sent = 0;
  const next = async (withInfo: boolean): Promise<{ payload: Payload }> => {
    const data = definition?.responseData[sent] ?? new Uint8Array();
    await delay(definition?.responseDelayMs ?? 0);
    const requestInfo = sent === 0 ? info(received, context) : { requests: received };
    sent += 1;
    return { payload: { data, ...(withInfo && { requestInfo }) } };
  };
  for await (const request of requests) {
    received.push(pack(BidiStreamRequestSchema, request));
    if (first) {
      first = false;
      definition = request.responseDefinition;
      fullDuplex = request.fullDuplex;
      if (definition !== undefined) announce(definition, context);
    }
    if (!fullDuplex) continue;
    if (sent >= (definition?.responseData.length ?? 0)) break;
    yield await next(true);
    received = [];
  }
  while (definition !== undefined && sent < definition.responseData.length) yield await next(sent === 0);
  if (definition?.error !== undefined) {
    throw failure(definition.error, sent === 0 ? info(received, context) : undefined);
  }
}

async function answerUnary(
  definition: UnaryResponseDefinition | undefined,
  requests: Any[],
  context: HandlerContext,
): Promise<Payload> {
  const requestInfo = info(requests, context);
  if (definition === undefined) return { requestInfo };
  announce(definition, context);
  await delay(definition.responseDelayMs);
  if (definition.response.case === "error") throw failure(definition.response.value, requestInfo);
  return { requestInfo, data: definition.response.value ?? new Uint8Array() };
}

function announce(definition: UnaryResponseDefinition | StreamResponseDefinition, context: HandlerContext): void {
  append(definition.responseHeaders, context.responseHeader);
  append(definition.responseTrailers, context.responseTrailer);
}

function append(from: readonly Header[], to: Headers): void {
  for (const { name, value } of from) for (const each of value) to.append(name, each);
}

function info(requests: Any[], context: HandlerContext): RequestInfo {
  const timeoutMs = context.timeoutMs();
  const queryParams = [...new URL(context.url).searchParams].map(([name, value]) => ({ name, value: [value] }));
  return {
    requests,
    requestHeaders: [...context.requestHeader].map(([name, value]) => ({ name, value: [value] })),
    ...(timeoutMs !== undefined && { timeoutMs: BigInt(Math.trunc(timeoutMs)) }),
    ...(context.requestMethod === "GET" && { connectGetInfo: { queryParams } }),
  };
}

function failure(definition: ErrorMessage, about: RequestInfo | undefined): ConnectError {
  const details = about && [{ desc: ConformancePayload_RequestInfoSchema, value: about }];
  // Zero would be no error: the suite sends none.
  const code = definition.code === 0 ? Code.Unknown : definition.code;
  const error = new ConnectError(definition.message ?? "", code, undefined, details);
  error.details.unshift(
    ...definition.details.map(({ typeUrl, value }) => ({ type: typeUrl.replace(/.*\//, ""), value })),
  );
  return error;
}

function pack<D extends DescMessage>(desc: D, message: MessageShape<D>): Any {
  return anyPack(desc, message);
}
