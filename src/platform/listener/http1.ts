import { createServer, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { bindConnection, type Connection, connectionOf } from "./connection.ts";
import type { Connections } from "./connections.ts";
import { Http1Request, hasBody, readLeftover } from "./http1-body.ts";
import { createLeftoverAllowance } from "./leftovers.ts";
import { checkIntervalMs, type ListenerLimits } from "./limits.ts";
import { plainAnswer } from "./refusals.ts";

/** Where HTTP/1.1 connections are handed to. */
export interface Http1 {
  /** Speaks HTTP/1.1 on the socket of a connection. */
  accept(connection: Connection, socket: Duplex): void;
  /** Closes connections between requests now, and the others after the answers that they wait for. */
  close(): void;
}

/** Makes the HTTP/1.1 side of a listener. */
export function createHttp1(
  limits: ListenerLimits,
  { budget, nowMs, unproven }: Connections,
  handle: (request: Http1Request, response: ServerResponse) => void,
): Http1 {
  let closing = false;
  const mayReadUntrusted = createLeftoverAllowance(limits, nowMs);
  const server: Server<typeof Http1Request> = createServer(
    {
      IncomingMessage: Http1Request,
      maxHeaderSize: limits.maxHeaderBytes,
      headersTimeout: limits.firstHeadTimeoutMs,
      // Bodies are held to their progress, not to a time in total: a long upload is no fault.
      requestTimeout: 0,
      connectionsCheckingInterval: checkIntervalMs(limits),
      keepAliveTimeout: limits.http1IdleTimeoutMs,
    },
    (request, response) => {
      const connection = connectionOf(request.socket);
      request.response = response;
      if (connection !== undefined) {
        // What still comes out of the parser after a last word, or a cut.
        if (connection.overSinceMs !== undefined || request.socket.writableEnded) return;
        connection.headSeen = true;
        connection.proof?.requested();
        connection.request = request;
        connection.response = response;
        if (!connection.trusted) {
          budget.charge(connection, request);
          response.once("close", () => {
            if (request.closed) budget.discharge(connection, request);
            else request.once("close", () => budget.discharge(connection, request));
          });
        }
      }
      if (closing) response.shouldKeepAlive = false;
      if (hasBody(request)) {
        const mayRead = (bytes: number) => connection?.trusted === true || mayReadUntrusted(bytes);
        readLeftover(request, response, limits.leftoverTimeoutMs, mayRead);
      }
      handle(request, response);
    },
  );
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    const connection = connectionOf(socket);
    const answering = connection?.response?.headersSent && !connection.response.writableFinished;
    const answer = answering ? undefined : refusalOf(error);
    if (answer === undefined) socket.destroy();
    else connection?.end(answer, nowMs());
  });
  server.on("timeout", (socket) => {
    // A reply that is not known to have arrived: what the other end makes of the end of the connection tells.
    if (connectionOf(socket)?.proof?.isOpen) socket.end();
    else socket.destroy();
  });
  server.on("connect", (_request, socket) => {
    connectionOf(socket)?.end(plainAnswer(405, "CONNECT is not served here."), nowMs());
  });
  // It never listens by itself. Unless it believes so it tracks no connections: no head times out, none is idle.
  server.emit("listening");

  return {
    accept(connection, socket) {
      bindConnection(socket, connection);
      server.emit("connection", socket);
      // Node's parser reads from the handle itself until somebody else listens. A TLS handle goes on with the records
      // that have come after it was told to stop, so a parser that is paused fails with HPE_PAUSED: the stream does stop.
      if (connection.secure) socket.on("data", ignore);
      // The look at the first bytes has paused it.
      socket.resume();
    },
    close() {
      closing = true;
      // A client that is never idle would keep its connection for as long as it has something to ask.
      server.keepAliveTimeout = 1;
      server.keepAliveTimeoutBuffer = 0;
      // What the other end makes of the end of the connection tells.
      const ending = unproven();
      for (const connection of ending) connection.end("", nowMs());
      sparing(ending, () => server.close());
    },
  };
}

/** Runs something that destroys what is idle, these connections aside. */
function sparing(connections: readonly Connection[], destroyIdle: () => void) {
  const channels = connections.flatMap(({ channel }) => channel ?? []);
  for (const channel of channels) channel.destroy = () => channel;
  destroyIdle();
  for (const channel of channels) Reflect.deleteProperty(channel, "destroy");
}

function ignore() {}

const refusals = new Map([
  ["HPE_HEADER_OVERFLOW", plainAnswer(431, "The request head is too large.")],
  ["HPE_CHUNK_EXTENSIONS_OVERFLOW", plainAnswer(413, "The chunk extensions are too large.")],
  ["ERR_HTTP_REQUEST_TIMEOUT", plainAnswer(408, "The request head took too long.")],
]);
const malformed = plainAnswer(400, "This is not a request of HTTP/1.1.");

// Undefined when the connection broke: there is nobody to answer.
function refusalOf({ code = "" }: NodeJS.ErrnoException): string | undefined {
  return refusals.get(code) ?? (code.startsWith("HPE_") ? malformed : undefined);
}
