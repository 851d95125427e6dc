import type { DescMethod } from "@bufbuild/protobuf";
import type { ContextValues, HandlerContext } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import type { FastifyReply, FastifyRequest } from "fastify";
import { kProtocol } from "../rpc/call-context.ts";
import { CallHeaders } from "../rpc/short/call-headers.ts";
import { clientLeft } from "../rpc/short/client-left.ts";
import type { RunningCalls } from "../rpc/short/running-calls.ts";

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

// One for all calls: making an error costs more than the rest of ending a call.
const answered = new ConnectError("the call has been answered", Code.Canceled);

/** Opens a call. Its signal aborts when the client leaves, the server goes down, or the call ends. */
export function openRestCall(
  request: FastifyRequest,
  reply: FastifyReply,
  method: DescMethod,
  values: ContextValues,
  running: RunningCalls,
): RestCall {
  const controller = new AbortController();
  const { signal } = controller;
  const leave = running.enter(controller);
  const responseHeader = CallHeaders.sent({});
  let isOpen = true;
  let left = false;
  reply.raw.on("close", () => {
    if (!isOpen) return;
    left = true;
    controller.abort(clientLeft());
  });
  return {
    context: {
      method,
      service: method.parent,
      protocolName: "rest",
      requestMethod: request.method,
      url: `${request.protocol}://${request.host}${request.raw.url}`,
      signal,
      timeoutMs: noDeadline,
      requestHeader: CallHeaders.received(request.raw.headers),
      responseHeader,
      responseTrailer: CallHeaders.sent({}),
      values: values.set(kProtocol, "rest"),
    },
    responseHeader,
    hasLeft: () => left,
    end() {
      isOpen = false;
      leave();
      if (!signal.aborted) controller.abort(answered);
    },
  };
}

function noDeadline(): undefined {
  return undefined;
}
