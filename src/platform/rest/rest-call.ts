import type { DescMethod } from "@bufbuild/protobuf";
import type { ContextValues, HandlerContext } from "@connectrpc/connect";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Response } from "../listener/listener.ts";
import { Call } from "../rpc/call/call.ts";
import type { CallHeaders } from "../rpc/call/call-headers.ts";
import { clientLeft, isGone } from "../rpc/call/client-left.ts";
import type { RunningCalls } from "../rpc/call/running-calls.ts";
import { kProtocol } from "../rpc/call-context.ts";

/** A call over REST that is being answered. */
export interface RestCall {
  /** What the gate, the interceptors and the handler see. */
  readonly context: HandlerContext;
  readonly responseHeader: CallHeaders;
  /** Nobody waits for the answer any more. */
  hasLeft(): boolean;
  /** Ends it: its signal is aborted. */
  end(): void;
}

/** Opens a call. Its signal aborts when the client leaves, the server goes down, or the call ends. */
export function openRestCall(
  request: FastifyRequest,
  reply: FastifyReply,
  method: DescMethod,
  values: ContextValues,
  running: RunningCalls,
): RestCall {
  const raw: Response = reply.raw;
  const call = new Call({
    method,
    protocolName: "rest",
    requestMethod: request.method,
    url: () => `${request.protocol}://${request.host}${request.raw.url}`,
    requestFields: request.raw.headers,
    responseFields: {},
    trailerFields: {},
    values: values.set(kProtocol, "rest"),
    running,
    watchClient(waiting) {
      if (isGone(raw)) waiting.abort(clientLeft());
      else raw.once("close", () => waiting.abort(clientLeft()));
    },
  });
  return { context: call, responseHeader: call.responseHeader, hasLeft: () => isGone(raw), end: () => call.end() };
}
