import {
  constants,
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Stream,
} from "node:http2";
import type { Duplex } from "node:stream";
import { bindConnection, type Connection } from "./connection.ts";
import { hearFrames } from "./heard-frames.ts";
import { holdAnswer } from "./held-answer.ts";
import { createBodyWatch, guardEnd, Http2Request } from "./http2-body.ts";
import type { ListenerLimits } from "./limits.ts";
import { OverheardSocket } from "./overheard.ts";
import type { UntrustedBudget } from "./untrusted-budget.ts";
import { firstSettings } from "./windows.ts";

/** Where HTTP/2 connections are handed to. */
export interface Http2 {
  /** Speaks HTTP/2 on the socket of a connection. */
  accept(connection: Connection, socket: Duplex): void;
}

/**
 * Takes a stream before the HTTP framework sees it: true when it has taken it. Its answers are not held: what it answers
 * before the body has come in must leave in one piece.
 */
export type EarlyStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number) => boolean;

/** Makes the HTTP/2 side of a listener. */
export function createHttp2(
  limits: ListenerLimits,
  budget: UntrustedBudget,
  early: EarlyStream | undefined,
  handle: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
): Http2 {
  // Makes requests and answers of streams; it never sees a socket. Its own server would insist on the negotiated
  // protocol, which is not what every client then speaks.
  const requests = createServer({ Http2ServerRequest: Http2Request }, handle);
  const settings = firstSettings(limits);
  const watchBody = createBodyWatch(limits);
  return {
    accept(connection, socket) {
      const hear = hearFrames({
        reset: (streamId) => connection.proof?.reset(streamId),
        acknowledged: () => connection.proof?.acknowledged(),
      });
      const session = performServerHandshake(new OverheardSocket(socket, hear), { settings });
      // As it says of itself what is beneath it.
      if (connection.secure) Object.assign(session.socket, { encrypted: true });
      connection.session = session;
      bindConnection(session, connection);
      session.setLocalWindowSize(limits.untrustedWindows.connection);
      session.on("error", ignore);
      session.on("stream", (stream, headers, flags, rawHeaders) => {
        connection.headSeen = true;
        // Without a listener, a reset from the other end would be an uncaught exception.
        stream.on("error", ignore);
        if (stream.destroyed || connection.overSinceMs !== undefined) return;
        if (!connection.trusted) {
          budget.charge(connection, stream);
          stream.once("close", () => budget.discharge(connection, stream));
        }
        const hasBody = (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0;
        if (hasBody) guardEnd(stream);
        if (!connection.trusted && headBytes(rawHeaders) > limits.maxHeaderBytes) {
          // Node holds the other end to this itself, but only once that has acknowledged the settings.
          stream.respond({ ":status": 431 }, { endStream: true });
        } else if (early?.(stream, headers, flags) !== true) {
          const discarding = () => budget.discharge(connection, stream);
          if (hasBody) holdAnswer(stream, headers["content-length"], limits, discarding);
          requests.emit("stream", stream, headers, flags, rawHeaders);
        }
        if (hasBody) watchBody(connection, stream);
      });
    },
  };
}

// As RFC 9113 §6.5.2 counts it.
function headBytes(rawHeaders: readonly string[]): number {
  return rawHeaders.reduce((bytes, text) => bytes + text.length + 16, 0);
}

function ignore() {}
