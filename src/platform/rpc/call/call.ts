import type { IncomingHttpHeaders } from "node:http";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type HandlerContext } from "@connectrpc/connect";
import { CallHeaders, type Fields } from "./call-headers.ts";
import type { Abortable, Place, RunningCalls } from "./running-calls.ts";

/** What a call begins with. */
export interface CallInit {
  method: DescMethod;
  protocolName: string;
  /** The verb of the request. */
  requestMethod: string;
  /** The whole URL that the client has asked for; made when it is wanted. */
  url: () => string;
  /** Milliseconds that the client gives the call. Absent: it has all time. */
  timeoutMs?: number | undefined;
  requestFields: IncomingHttpHeaders;
  responseFields: Fields;
  trailerFields: Fields;
  values: ContextValues;
  running: RunningCalls;
  /** Called when somebody first asks for the signal: from then on it tells the call that its client has left. */
  watchClient?: (call: Abortable) => void;
}

// One for all calls: making an error costs more than the rest of ending a call.
const answered = new ConnectError("the call has been answered", Code.Canceled);
// Node's timers overflow above it, and fire at once.
const timerMaxMs = 2 ** 31 - 1;

/**
 * A call that is being answered, as the gate, the interceptors and the handler see it. Its deadline runs from the
 * beginning. Its signal is made when it is first asked for, since most handlers never do, and making and aborting it costs
 * more than all else here: therefore a copy made with `...` has none.
 */
export class Call implements HandlerContext {
  readonly method: DescMethod;
  readonly service: DescService;
  readonly protocolName: string;
  readonly requestMethod: string;
  readonly requestHeader: CallHeaders;
  readonly responseHeader: CallHeaders;
  readonly responseTrailer: CallHeaders;
  readonly values: ContextValues;
  readonly timeoutMs: () => number | undefined;
  readonly #init: CallInit;
  #controller: AbortController | undefined;
  #isAborted = false;
  #reason: unknown;
  #deadline: NodeJS.Timeout | undefined;
  #place: Place | undefined;

  constructor(init: CallInit) {
    this.method = init.method;
    this.service = init.method.parent;
    this.protocolName = init.protocolName;
    this.requestMethod = init.requestMethod;
    this.requestHeader = CallHeaders.received(init.requestFields);
    this.responseHeader = CallHeaders.sent(init.responseFields);
    this.responseTrailer = CallHeaders.sent(init.trailerFields);
    this.values = init.values;
    this.#init = init;
    this.timeoutMs = init.timeoutMs === undefined ? noDeadline : this.#startDeadline(init.timeoutMs);
    this.#place = init.running.enter(this);
  }

  get url(): string {
    return this.#init.url();
  }

  /** Aborts when the call is over: at its deadline, when its client has left, when the server goes down, or answered. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (!this.#isAborted) this.#init.watchClient?.(this);
    }
    if (this.#isAborted && !this.#controller.signal.aborted) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  /** Its signal is aborted, or would be. */
  get isOver(): boolean {
    return this.#isAborted;
  }

  /** Gives the call up. Only the first reason counts. */
  abort(reason: unknown): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }

  /** The call is answered, or cannot be: its deadline does not matter any more. Idempotent. */
  end(): void {
    if (this.#place === undefined) return;
    this.#init.running.leave(this.#place);
    this.#place = undefined;
    clearTimeout(this.#deadline);
    this.abort(answered);
  }

  #startDeadline(timeoutMs: number): () => number {
    const at = Date.now() + timeoutMs;
    const expire = () => this.abort(new ConnectError("the operation timed out", Code.DeadlineExceeded));
    if (timeoutMs > 0) this.#deadline = setTimeout(expire, Math.min(timeoutMs, timerMaxMs));
    else expire();
    return () => at - Date.now();
  }
}

function noDeadline(): undefined {
  return undefined;
}
