import { IncomingMessage, type ServerResponse } from "node:http";
import { lastWordMs } from "./connection.ts";
import type { MayReadLeftover } from "./leftovers.ts";

/** An HTTP/1.1 request whose connection outlives a handler that stops reading early. */
export class Http1Request extends IncomingMessage {
  /** Its answer. */
  response: ServerResponse | undefined;
  /** The rest of the body is thrown away. */
  abandoned = false;

  /**
   * As Node's, with two differences. Leaving the loop early does not destroy the request, and with it the connection. And
   * a reader who is still there when the request is answered gets an error: for it, the body has no end.
   */
  override [Symbol.asyncIterator](): NodeJS.AsyncIterator<Buffer> {
    const pieces: NodeJS.AsyncIterator<Buffer> = this.iterator({ destroyOnReturn: false });
    const check = () => {
      if (this.abandoned) throw new Error("the request was answered before its body was read");
    };
    return {
      next: async () => {
        check();
        const piece = await pieces.next();
        check();
        return piece;
      },
      return: async () => (await pieces.return?.()) ?? { done: true, value: undefined },
      [Symbol.asyncIterator]() {
        return this;
      },
      [Symbol.asyncDispose]: () => pieces[Symbol.asyncDispose](),
    };
  }
}

/**
 * Reads what is left of a body once its request is answered, so that the next request on the connection is seen. Closes
 * the connection when that takes longer than `timeoutMs`, or more than may be read.
 */
export function readLeftover(
  request: Http1Request,
  response: ServerResponse,
  timeoutMs: number,
  mayRead: MayReadLeftover,
): void {
  // Before Node looks: it would throw a body that nobody touched away by itself, and uncounted.
  response.prependOnceListener("finish", () => {
    if (request.readableEnded || request.destroyed) return;
    request.abandoned = true;
    // Whoever read stays subscribed: flowing takes no effect before they are gone.
    request.removeAllListeners("readable");
    request.unpipe();
    const { socket } = request;
    let timer = setTimeout(() => socket.destroy(), timeoutMs);
    request.once("close", () => clearTimeout(timer));
    request.on("data", (piece: Buffer) => {
      if (mayRead(piece.length)) return;
      request.removeAllListeners("data").pause();
      clearTimeout(timer);
      timer = setTimeout(() => socket.destroy(), lastWordMs);
    });
    request.resume();
  });
}

/** The head announces a body. */
export function hasBody(request: IncomingMessage): boolean {
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  return encoding !== undefined || (length !== undefined && length !== "0");
}
