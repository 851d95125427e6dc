import { constants } from "node:http2";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { FastifyReply } from "fastify";
import type { Response } from "../listener/listener.ts";
import { clientLeft, isGone } from "./call/client-left.ts";
import { headAfterMs } from "./head-after.ts";

/**
 * What the router answers to one request, on its way out. The router lets go of a stream only with its first message:
 * the head of a quiet one leaves before.
 */
export class ConnectAnswer {
  /** The gate was asked about the call. */
  asked = false;
  readonly #reply: FastifyReply;
  readonly #response: FastifyReply["raw"];
  #head: NodeJS.Timeout | undefined;

  constructor(reply: FastifyReply) {
    this.#reply = reply;
    this.#response = reply.raw;
  }

  /** A stream is open: unless its first message takes the head along, that leaves after {@link headAfterMs}. */
  open(header: Headers): void {
    this.#head = setTimeout(() => {
      try {
        this.#begin(200, header);
        this.#response.flushHeaders();
      } catch {
        this.giveUp(); // a header that HTTP refuses
      }
    }, headAfterMs);
  }

  /**
   * Sends the answer, no faster than the client reads. `ended` is told when the last message has been taken, and whether
   * all went well, before the end leaves. Rejects when it cannot be sent: the client has left, or a header is refused.
   */
  async send(answer: UniversalServerResponse, ended: (well: boolean) => void): Promise<void> {
    const { status, header = new Headers(), body, trailer } = answer;
    const messages = body?.[Symbol.asyncIterator]();
    try {
      if (messages === undefined) this.#begin(status, header);
      else await this.#sendAll(messages, () => this.#begin(status, header));
      ended(status === 200 && (trailer?.get("grpc-status") ?? "0") === "0");
      if (trailer !== undefined) this.#response.addTrailers(fieldsOf(trailer));
      this.#response.end();
    } finally {
      // A handler that is stuck never settles its return: it is not waited for.
      messages?.return?.().catch(() => undefined);
    }
  }

  /** Gives up on a client that cannot be answered properly. */
  giveUp(): void {
    this.close();
    this.#reply.hijack();
    reset(this.#response);
  }

  /** Nothing leaves by itself any more. */
  close(): void {
    clearTimeout(this.#head);
  }

  async #sendAll(messages: AsyncIterator<Uint8Array>, begin: () => void): Promise<void> {
    // The first one was waited for: what the handler sets before it is in the header.
    let next = await messages.next();
    begin();
    for (; next.done !== true; next = await messages.next()) {
      const drained = isGone(this.#response) || this.#response.write(next.value);
      if (!drained) await untilDrained(this.#response);
      if (isGone(this.#response)) {
        // The handler learns at its `yield` that nobody listens; what it makes of it is its own affair.
        messages.throw?.(clientLeft()).catch(() => undefined);
        throw clientLeft();
      }
    }
  }

  #begin(status: number, header: Headers): void {
    this.close();
    if (this.#response.headersSent) return;
    this.#reply.hijack();
    for (const [name, value] of Object.entries(this.#reply.getHeaders())) {
      if (value !== undefined) this.#response.setHeader(name, value);
    }
    this.#response.writeHead(status, fieldsOf(header));
  }
}

function reset(response: Response): void {
  if ("stream" in response) response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else response.destroy();
}

// As Node takes them. Only set-cookie comes more than once.
function fieldsOf(header: Headers): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = Object.fromEntries(header);
  const cookies = header.getSetCookie();
  if (cookies.length > 0) fields["set-cookie"] = cookies;
  return fields;
}

function untilDrained(response: Response): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}
