import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2Session, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Duplex, Readable } from "node:stream";
import type { Peer } from "./peer.ts";
import type { Proof } from "./proof.ts";

/** A request that is not answered yet, and what it holds of its connection's budget. */
export interface Unanswered {
  readonly sinceMs: number;
  bytes: number;
  /** What counts the pieces of its body. */
  readonly push: Readable["push"];
}

/** For the other end to read the last word on a connection, and to close it. */
export const lastWordMs = 1_000;

/** One accepted connection, from its first byte to its last: what is known about it. */
export class Connection implements Peer {
  readonly address: string;
  readonly acceptedAtMs: number;
  /** The socket that was accepted. */
  readonly socket: Socket;
  secure = false;
  /** A call on it has passed the gate. */
  trusted = false;
  /** A first request head was complete. */
  headSeen = false;
  /** What HTTP is spoken on, once it is: the accepted socket, or the TLS socket around it. */
  channel: Duplex | undefined;
  /** Set when HTTP/2 is spoken. */
  session: ServerHttp2Session | undefined;
  /** The newest request, when HTTP/1.1 is spoken. Only its body can be unfinished, and earlier answers precede its own. */
  request: IncomingMessage | undefined;
  response: ServerResponse | undefined;
  /** Whether its replies arrive; set once somebody asks. */
  proof: Proof | undefined;
  /** While not trusted: requests in the order of their arrival, by their bodies. */
  readonly unanswered = new Map<Readable, Unanswered>();
  /** Since when nothing more is to be said on it: it only waits for the other end to close. */
  overSinceMs: number | undefined;
  /** When bytes last moved, as far as `touch` has seen. */
  activeAtMs: number;
  readonly #onTrust: (connection: Connection) => void;
  #bytesSeen = 0;

  constructor(socket: Socket, nowMs: number, onTrust: (connection: Connection) => void) {
    this.socket = socket;
    this.address = (socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/i, "");
    this.acceptedAtMs = nowMs;
    this.activeAtMs = nowMs;
    this.#onTrust = onTrust;
  }

  trust(): void {
    if (this.trusted) return;
    this.trusted = true;
    this.#onTrust(this);
  }

  /** What may be seen of it in a log. */
  toJSON(): Pick<Peer, "address" | "secure"> {
    return { address: this.address, secure: this.secure };
  }

  /** Notes whether bytes have moved since the last time. */
  touch(nowMs: number): void {
    const bytes = this.socket.bytesRead + this.socket.bytesWritten;
    if (bytes === this.#bytesSeen) return;
    this.#bytesSeen = bytes;
    this.activeAtMs = nowMs;
  }

  /**
   * Says a last word. The other end gets a moment to read it: what it still sends is thrown away meanwhile, since closing
   * with bytes unread would reset the connection and take the word back.
   */
  end(word: string | Buffer, nowMs: number): void {
    if (this.overSinceMs !== undefined) return;
    this.overSinceMs = nowMs;
    this.channel?.end(word);
    this.channel?.resume();
  }
}

// Sockets and sessions are Node's, so they cannot carry a connection themselves.
const connections = new WeakMap<Duplex | Http2Session, Connection>();

/** Makes a connection known under the socket or session that requests arrive on. */
export function bindConnection(carrier: Duplex | Http2Session, connection: Connection): void {
  connections.set(carrier, connection);
}

/** The connection behind a socket or session. Undefined when a listener did not accept it, or it is gone. */
export function connectionOf(carrier: Duplex | Http2Session | undefined): Connection | undefined {
  return carrier && connections.get(carrier);
}
