import { IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { createServer } from "node:net";
import type { Duplex } from "node:stream";
import { type Connection, connectionOf } from "./connection.ts";
import { createConnections } from "./connections.ts";
import { onFirstBytes, type Speech } from "./first-bytes.ts";
import { createHttp1 } from "./http1.ts";
import { createHttp2 } from "./http2.ts";
import { defaultLimits, type ListenerLimits } from "./limits.ts";
import { createLoopTurns } from "./loop-turns.ts";
import { noPeer, type Peer } from "./peer.ts";
import { http2Goodbye, plainAnswer } from "./refusals.ts";
import { createTlsDoor, type KeyPair, type TlsOptions } from "./tls-door.ts";

/** A request of either HTTP version. */
export type Request = IncomingMessage | Http2ServerRequest;
/** The answer to a request of either HTTP version. */
export type Response = ServerResponse | Http2ServerResponse;

/** What may take a call before the HTTP framework sees it. Each returns true when it has taken it. */
export interface EarlyHandlers {
  /** An HTTP/2 stream whose headers have arrived. Who takes one whose body is there reads that, or lets it go by. */
  stream?: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number) => boolean;
  /** An HTTP/1.1 request whose head has arrived. */
  request?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

/** Options of {@link createListener}. */
export interface ListenerOptions {
  /** Without it the port speaks plain text. */
  tls?: TlsOptions;
  early?: EarlyHandlers;
  /** Default: `defaultLimits`. */
  limits?: Partial<ListenerLimits>;
  /** Told why the listener closed a connection, for log and metrics. */
  onRefused?: (peer: Peer, reason: string) => void;
}

/** One TCP port that speaks HTTP/1.1 and HTTP/2, TLS or plain. */
export interface Listener {
  /**
   * The server that Fastify's `serverFactory` returns, once per listener. Everything that no early handler takes goes to
   * `handler`. Closing it lets open calls finish, for `closeTimeoutMs` at most.
   */
  serve(handler: (request: Request, response: Response) => void): Server;
  /** New connections are served with this certificate from now on. Throws when certificate and key are not a pair. */
  replaceCertificate(pair: KeyPair): void;
}

/** Who is at the other end of a request or stream. */
export function peerOf(call: Request | ServerHttp2Stream): Peer {
  if (call instanceof IncomingMessage) return connectionOf(call.socket) ?? noPeer;
  const stream = "stream" in call ? call.stream : call;
  return connectionOf(stream.session) ?? noPeer;
}

// Finds peers that vanished without a word: a connection with an open stream is never closed for being idle.
const tcpKeepAliveMs = 60_000;

const notTls = "This port speaks TLS: use https.";
const notPlain = "This port does not speak TLS: use http.";

/** Makes a listener; it listens when Fastify does. Throws when certificate and key are not a pair. */
export function createListener(options: ListenerOptions): Listener {
  const limits = { ...defaultLimits, ...options.limits };
  const { early, onRefused = () => undefined } = options;
  const tls = options.tls && createTlsDoor(options.tls, limits.firstHeadTimeoutMs);
  const connections = createConnections(limits, onRefused);
  const turns = createLoopTurns();

  let serves = false;

  function serve(handler: (request: Request, response: Response) => void): Server {
    if (serves) throw new Error("the listener serves already");
    serves = true;
    const http2 = createHttp2(limits, connections.budget, early?.stream, handler);
    const http1 = createHttp1(limits, connections, (request, response) => {
      if (early?.request?.(request, response) !== true) handler(request, response);
    });

    function speakHttp(connection: Connection, socket: Duplex, speech: Speech) {
      connection.channel = socket;
      turns(() => {
        if (socket.destroyed) return;
        if (speech === "http2") http2.accept(connection, socket);
        else http1.accept(connection, socket);
      });
    }

    function refuse(connection: Connection, reason: string, word: string | Buffer) {
      onRefused(connection, reason);
      connection.channel = connection.socket;
      connection.end(word, connections.nowMs());
    }

    const front = createServer(
      { noDelay: true, keepAlive: true, keepAliveInitialDelay: tcpKeepAliveMs },
      (accepted) => {
        accepted.on("error", ignore);
        const connection = connections.add(accepted);
        onFirstBytes(accepted, (speech) => {
          if (tls === undefined) {
            if (speech === "tls") refuse(connection, "TLS on a plain port", plainAnswer(400, notPlain));
            else speakHttp(connection, accepted, speech);
          } else if (speech === "tls") {
            connection.secure = true;
            tls.accept(connection, (socket) => {
              socket.on("error", ignore);
              onFirstBytes(socket, (inner) => speakHttp(connection, socket, inner));
            });
          } else {
            const word = speech === "http2" ? http2Goodbye(notTls) : plainAnswer(400, notTls);
            refuse(connection, "plain text on a TLS port", word);
          }
        });
      },
    );
    front.on("listening", connections.open);
    front.on("close", connections.close);
    const stopListening = front.close.bind(front);
    const server = Object.assign(front, {
      close(done?: (error?: Error) => void) {
        connections.drain();
        http1.close();
        return stopListening(done);
      },
      closeAllConnections: connections.cutAll,
      // Fastify calls these right before `close`, which does their work.
      closeIdleConnections: ignore,
      closeHttp2Sessions: ignore,
    });
    // The methods above are all that Fastify and its users ask of an HTTP server; the type has more.
    return server as unknown as Server;
  }

  return {
    serve,
    replaceCertificate(pair) {
      tls?.replace(pair);
    },
  };
}

function ignore() {}
