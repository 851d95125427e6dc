import type { IncomingHttpHeaders } from "node:http";
import { Code, ConnectError, type ContextValues, type HandlerContext } from "@connectrpc/connect";
import { CallHeaders, type Fields } from "./call-headers.ts";
import type { ShortMethod } from "./methods.ts";

/** What a call begins with. */
export interface CallInit {
  method: ShortMethod;
  protocolName: "grpc" | "connect";
  url: string;
  /** Milliseconds that the client gives the call. Absent: it has all time. */
  timeoutMs: number | undefined;
  requestFields: IncomingHttpHeaders;
  responseFields: Fields;
  trailerFields: Fields;
  values: ContextValues;
}

/** A call that is being answered. */
export interface Call {
  /** What the gate, the interceptors and the handler see. */
  readonly context: HandlerContext;
  readonly responseHeader: CallHeaders;
  readonly responseTrailer: CallHeaders;
  /** Ends it: the deadline is over, and its signal is aborted. Without a reason: it was answered. Idempotent. */
  end(reason?: unknown): void;
}

// One for all calls: making an error costs more than the rest of ending a call.
const answered = new ConnectError("the call has been answered", Code.Canceled);
// Node's timers overflow above it, and fire at once.
const timerMaxMs = 2 ** 31 - 1;

/** Opens a call: from now on its deadline runs. */
export function openCall(init: CallInit): Call {
  const { method, timeoutMs, values } = init;
  const controller = new AbortController();
  const requestHeader = CallHeaders.received(init.requestFields);
  const responseHeader = CallHeaders.sent(init.responseFields);
  const responseTrailer = CallHeaders.sent(init.trailerFields);
  const leave = method.running.enter(controller);
  const deadline = timeoutMs === undefined ? undefined : startDeadline(controller, timeoutMs);
  return {
    context: {
      method: method.spec.method,
      service: method.spec.method.parent,
      protocolName: init.protocolName,
      requestMethod: "POST",
      url: init.url,
      signal: controller.signal,
      timeoutMs: deadline?.remainingMs ?? noDeadline,
      requestHeader,
      responseHeader,
      responseTrailer,
      values,
    },
    responseHeader,
    responseTrailer,
    end(reason = answered) {
      deadline?.clear();
      leave();
      if (!controller.signal.aborted) controller.abort(reason);
    },
  };
}

function noDeadline(): undefined {
  return undefined;
}

function startDeadline(controller: AbortController, timeoutMs: number) {
  const at = Date.now() + timeoutMs;
  const expire = () => controller.abort(new ConnectError("the operation timed out", Code.DeadlineExceeded));
  const timer = timeoutMs > 0 ? setTimeout(expire, Math.min(timeoutMs, timerMaxMs)) : undefined;
  if (timer === undefined) expire();
  return { remainingMs: () => at - Date.now(), clear: () => clearTimeout(timer) };
}
