import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { FrameHearer } from "./heard-frames.ts";

/** Told once whether a reply has arrived. */
export type Verdict = (arrived: boolean) => void;

/** Finds out whether the replies of one connection arrive. */
export interface Proof extends FrameHearer {
  /** Every byte of a reply has left: over HTTP/2 the one on this stream. */
  left(verdict: Verdict, streamId?: number): void;
  /** The other end has sent a request: what had left before has arrived. HTTP/1.1 only. */
  requested(): void;
  /** There are replies that have left, and are not known to have arrived. */
  readonly isOpen: boolean;
}

/** A reply that has left. */
interface Reply {
  readonly streamId: number | undefined;
  readonly verdict: Verdict;
}

/**
 * Proof for an HTTP/2 connection and the socket that it is spoken on: a PING behind the replies is acknowledged, and
 * their streams were not reset before. One is under way at most, for all replies that had left when it was sent.
 */
export class PingProof implements Proof {
  readonly #session: Http2Session;
  readonly #channel: Duplex;
  #waiting: Reply[] = [];
  #pinged: Reply[] = [];
  #ending: Reply[] = [];
  #isPinging = false;

  constructor(session: Http2Session, channel: Duplex) {
    this.#session = session;
    this.#channel = channel;
  }

  get isOpen(): boolean {
    return this.#waiting.length + this.#pinged.length + this.#ending.length > 0;
  }

  left(verdict: Verdict, streamId?: number): void {
    this.#waiting.push({ streamId, verdict });
    this.#ping();
  }

  requested(): void {
    // Of HTTP/2 it proves nothing: requests do not wait for replies.
  }

  acknowledged(): void {
    const arrived = this.#pinged;
    this.#pinged = [];
    for (const { verdict } of arrived) verdict(true);
  }

  reset(streamId: number): void {
    if (!this.isOpen) return;
    const stays = (reply: Reply) => {
      if (reply.streamId !== streamId) return true;
      reply.verdict(false);
      return false;
    };
    this.#waiting = this.#waiting.filter(stays);
    this.#pinged = this.#pinged.filter(stays);
    this.#ending = this.#ending.filter(stays);
  }

  #ping(): void {
    if (this.#isPinging || this.#waiting.length === 0) return;
    if (this.#session.destroyed || this.#session.closed) {
      this.#over();
      return;
    }
    this.#pinged = this.#waiting;
    this.#waiting = [];
    this.#isPinging = true;
    this.#session.ping((error: Error | null) => {
      this.#isPinging = false;
      if (error === null) this.#ping();
      else this.#over();
    });
  }

  // No PING goes through any more. A session that was closed in peace still has its socket, whose end tells.
  #over(): void {
    const left = [...this.#pinged, ...this.#waiting];
    this.#pinged = [];
    this.#waiting = [];
    if (!this.#session.closed || this.#channel.destroyed) {
      for (const { verdict } of left) verdict(false);
      return;
    }
    if (this.#ending.length === 0) this.#channel.once("close", () => this.#ended());
    this.#ending.push(...left);
  }

  #ended(): void {
    for (const { verdict } of this.#ending) verdict(endedWell(this.#channel));
  }
}

/** Proof for an HTTP/1.1 connection: its next request, or its clean end. */
export class RequestProof implements Proof {
  readonly #socket: Socket;
  #waiting: Verdict[] = [];

  /** The socket that HTTP is spoken on, and the accepted one, which may be beneath it. */
  constructor(socket: Socket, accepted: Socket) {
    this.#socket = socket;
    // Who left before the reply came has answered it with a reset, which the end that came before hides. A write of
    // nothing, of which nothing is sent, finds it.
    socket.prependOnceListener("end", () => {
      if (this.isOpen && !socket.writableEnded) accepted.write(nothing);
    });
    // Node closes the socket behind a last reply without a look at what the other end makes of it.
    const destroySoon = socket.destroySoon.bind(socket);
    socket.destroySoon = () => {
      if (this.isOpen) socket.end();
      else destroySoon();
    };
    socket.once("close", () => this.#settle(endedWell(socket) && accepted.errored === null));
  }

  get isOpen(): boolean {
    return this.#waiting.length > 0;
  }

  left(verdict: Verdict): void {
    // Who ends its side before the reply has left does not wait for it.
    if (this.#socket.readableEnded || this.#socket.destroyed) verdict(false);
    else this.#waiting.push(verdict);
  }

  requested(): void {
    this.#settle(true);
  }

  acknowledged(): void {
    // HTTP/1.1 has no frames.
  }

  reset(): void {
    // Nor streams.
  }

  #settle(arrived: boolean): void {
    const settled = this.#waiting;
    this.#waiting = [];
    for (const verdict of settled) verdict(arrived);
  }
}

const nothing = Buffer.alloc(0);

function endedWell(channel: Duplex): boolean {
  return channel.readableEnded && channel.errored === null;
}
