import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { IncomingMessage } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import { connectionOf } from "./connection.ts";
import { Http1Request } from "./http1-body.ts";
import type { Request } from "./listener.ts";
import { PingProof, RequestProof, type Verdict } from "./proof.ts";

/** Told how the reply of a call fared: exactly one of the two is called, once. */
export interface DeliveryWatcher {
  /** The whole reply has arrived at the other end. */
  delivered(): void;
  /** The reply did not arrive, or nothing tells that it did: connection or stream were reset or lost, or another reply went out. */
  lost(): void;
}

/**
 * Whether the reply of a call arrives. Whoever wants to know asks before the reply is given; nobody else pays for it.
 *
 * Over HTTP/2 a reply has arrived when a PING that was sent behind it is acknowledged before its stream is reset. Over
 * HTTP/1.1, where nothing is acknowledged, when the other end sends another request, or ends its side of the connection
 * without an error; so it has over an HTTP/2 connection that was being closed in peace when the reply left.
 *
 * No time is too long: a client that keeps its HTTP/1.1 connection open and says nothing leaves it open whether the reply
 * has arrived. Once the connection was idle for its time the server ends its own side, to which a client that lives
 * answers with the end of its side; one that is gone is found by TCP, and its reply is lost.
 */
export interface Delivery {
  watch(watcher: DeliveryWatcher): void;
  /** An error goes out in place of what the handler answered: that is lost. */
  replaced(): void;
}

/** The delivery of calls that no line is in the way of: at once. */
export const immediateDelivery: Delivery = { watch: (watcher) => watcher.delivered(), replaced: () => undefined };

/** The delivery of the reply to a request or stream. */
export function deliveryOf(call: Request | ServerHttp2Stream): Delivery {
  return new CallDelivery(call);
}

class CallDelivery implements Delivery {
  readonly #call: Request | ServerHttp2Stream;
  #watchers: DeliveryWatcher[] | undefined;
  #verdict: boolean | undefined;

  constructor(call: Request | ServerHttp2Stream) {
    this.#call = call;
  }

  watch(watcher: DeliveryWatcher): void {
    if (this.#verdict !== undefined) {
      tell(watcher, this.#verdict);
    } else if (this.#watchers !== undefined) {
      this.#watchers.push(watcher);
    } else {
      this.#watchers = [watcher];
      watchReply(this.#call, (arrived) => this.#settle(arrived));
    }
  }

  replaced(): void {
    this.#settle(false);
  }

  #settle(arrived: boolean): void {
    if (this.#verdict !== undefined) return;
    this.#verdict = arrived;
    for (const watcher of this.#watchers ?? []) tell(watcher, arrived);
    this.#watchers = undefined;
  }
}

function tell(watcher: DeliveryWatcher, arrived: boolean): void {
  if (arrived) watcher.delivered();
  else watcher.lost();
}

function watchReply(call: Request | ServerHttp2Stream, verdict: Verdict): void {
  if (call instanceof IncomingMessage) watchHttp1(call, verdict);
  else if (!("stream" in call)) watchHttp2(call, verdict);
  else if (call.method === "HEAD") verdict(false);
  else watchHttp2(call.stream, verdict);
}

function watchHttp2(stream: ServerHttp2Stream, verdict: Verdict): void {
  const { session } = stream;
  const connection = connectionOf(session);
  if (session === undefined || connection === undefined || stream.closed || stream.destroyed) {
    verdict(false);
    return;
  }
  connection.proof ??= new PingProof(session, connection.channel ?? connection.socket);
  const { proof } = connection;
  // A stream closes without an error when both ends have sent their last frame. Node may not yet call it finished then.
  onceClosed(stream, () => {
    const { rstCode, aborted, writableEnded } = stream;
    if (rstCode === constants.NGHTTP2_NO_ERROR && writableEnded && !aborted) proof.left(verdict, stream.id);
    else verdict(false);
  });
}

const closings = new Map<ServerHttp2Stream, () => void>();

// Node tells it here while it puts the last frame of the reply into a write: a PING leaves in the same write, and arrives
// before a client that has what it wanted can leave. The event of the stream comes later, and always after this.
function onceClosed(stream: ServerHttp2Stream, then: () => void): void {
  if (closings.size === 0) subscribe("http2.server.stream.close", closed);
  closings.set(stream, then);
}

function closed(message: unknown): void {
  const { stream } = message as { stream: ServerHttp2Stream }; // what Node documents of this channel
  const then = closings.get(stream);
  if (then === undefined) return;
  closings.delete(stream);
  if (closings.size === 0) unsubscribe("http2.server.stream.close", closed);
  then();
}

function watchHttp1(request: IncomingMessage, verdict: Verdict): void {
  const { socket } = request;
  const connection = connectionOf(socket);
  const response = request instanceof Http1Request ? request.response : undefined;
  // The answer to HEAD leaves out what was to be told.
  const untold = request.method === "HEAD" || response === undefined || response.writableFinished || response.destroyed;
  if (connection === undefined || untold) {
    verdict(false);
    return;
  }
  connection.proof ??= new RequestProof(socket, connection.socket);
  const { proof } = connection;
  // Before Node looks: with the last reply of a connection it closes that.
  response.prependOnceListener("finish", () => proof.left(verdict));
  response.once("close", () => {
    if (!response.writableFinished) verdict(false);
  });
}
