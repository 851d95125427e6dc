import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Peer } from "./peer.ts";

/** A request of either HTTP version. */
export type Request = IncomingMessage | Http2ServerRequest;
/** The answer to a request of either HTTP version. */
export type Response = ServerResponse | Http2ServerResponse;

/** What may take a call before the HTTP framework sees it. Each returns true when it has taken it. */
export interface EarlyHandlers {
  /** An HTTP/2 stream whose headers have arrived. */
  stream?: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number) => boolean;
  /** An HTTP/1.1 request whose head has arrived. */
  request?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

/** Certificate and key, both PEM. */
export interface KeyPair {
  cert: string | Buffer;
  key: string | Buffer;
}

/** Options of {@link createListener}. */
export interface ListenerOptions {
  /** Without it the port speaks plain text. */
  tls?: { pair: KeyPair /** PEM: client certificates are asked for and must be signed by it. */; clientCa?: string };
  early?: EarlyHandlers;
}

/** One TCP port that speaks HTTP/1.1 and HTTP/2, TLS or plain. */
export interface Listener {
  /** The server that Fastify's `serverFactory` returns. Everything that no early handler takes goes to `handler`. */
  serve(handler: (request: Request, response: Response) => void): Server;
  /** New connections are served with this certificate from now on. */
  replaceCertificate(pair: KeyPair): void;
}

/** Who is at the other end of a request or stream. */
export declare function peerOf(call: Request | ServerHttp2Stream): Peer;

/** Makes a listener; it listens when Fastify does. */
export declare function createListener(options: ListenerOptions): Listener;
