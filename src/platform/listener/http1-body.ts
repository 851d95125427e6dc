import { IncomingMessage, type ServerResponse } from "node:http";
import { readPieces } from "./read-pieces.ts";

/** An HTTP/1.1 request whose connection outlives a handler that stops reading early. */
export class Http1Request extends IncomingMessage {
  /** The rest of the body is thrown away. */
  abandoned = false;

  override [Symbol.asyncIterator](): NodeJS.AsyncIterator<Buffer> {
    return readPieces(this, () => this.abandoned);
  }
}

/**
 * Reads what is left of a body once its request is answered, so that the next request on the connection is seen. Closes
 * the connection when that takes longer than `timeoutMs`.
 */
export function readLeftover(request: Http1Request, response: ServerResponse, timeoutMs: number): void {
  // Before Node looks: it would throw a body that nobody touched away by itself, and uncounted.
  response.prependOnceListener("finish", () => {
    if (request.readableEnded || request.destroyed) return;
    request.abandoned = true;
    // Whoever read stays subscribed: flowing takes no effect before they are gone.
    request.removeAllListeners("readable");
    request.unpipe();
    request.resume();
    if (request.complete) return;
    const { socket } = request;
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    request.once("close", () => clearTimeout(timer));
  });
}

/** The head announces a body. */
export function hasBody(request: IncomingMessage): boolean {
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  return encoding !== undefined || (length !== undefined && length !== "0");
}
