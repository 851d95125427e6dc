/** What a listener grants. Every value is set here; none is left to the defaults of Node. */
export interface ListenerLimits {
  /** The head of a request: request line and header fields together. Larger: 431, or a reset stream. */
  maxHeaderBytes: number;
  /** From accepting a connection until its TLS handshake is done and its first request head complete. */
  firstHeadTimeoutMs: number;
  /** Until a request body goes on, while nothing is answered yet. */
  bodyStallTimeoutMs: number;
  /** Between the requests of a connection that is not trusted. */
  untrustedIdleTimeoutMs: number;
  /** From the head of a request to the end of its answer, on a connection that is not trusted. */
  untrustedRequestTimeoutMs: number;
  /** Between the requests of a trusted HTTP/1.1 connection. */
  http1IdleTimeoutMs: number;
  /** Without a byte on a trusted HTTP/2 connection, PINGs included. */
  http2IdleTimeoutMs: number;
  /** Concurrent streams of an HTTP/2 connection. */
  maxStreams: number;
  /** HTTP/2 receive windows before a call on the connection has passed the gate, and after. */
  untrustedWindows: Windows;
  trustedWindows: Windows;
  /** Connections that are not trusted. One more closes the oldest of them. */
  maxUntrustedConnections: number;
  /**
   * What requests without an answer may take over all connections that are not trusted. Each may hold a quarter of what
   * the others leave; then nothing more is read from it. One that has sent twice that already is cut.
   */
  untrustedBytes: number;
  /** What such a connection may hold in any case: a few requests, or one read from an HTTP/1.1 body. */
  untrustedBytesAssured: number;
  /** For the rest of a body to come in after its request was answered. Then the HTTP/1.1 connection is closed. */
  leftoverTimeoutMs: number;
  /**
   * What is read at most of HTTP/1.1 bodies whose requests were refused, over all connections that are not trusted: this
   * much, and so much more in a second. Whose body is longer has a second to read the refusal, and is then cut.
   */
  leftoverBytes: number;
  leftoverBytesPerSecond: number;
  /** An HTTP/2 answer waits this long for the rest of a body of announced length, ... */
  heldAnswerMs: number;
  /** ... when that length is at most this. */
  heldAnswerMaxBytes: number;
  /** From closing the listener until every connection that is left is cut. */
  closeTimeoutMs: number;
}

/** Flow control windows of HTTP/2, in bytes. */
export interface Windows {
  readonly stream: number;
  readonly connection: number;
}

const kib = 1024;
const mib = 1024 * kib;

/** What a listener grants when nothing else is said. */
export const defaultLimits: ListenerLimits = {
  maxHeaderBytes: 16 * kib,
  firstHeadTimeoutMs: 10_000,
  bodyStallTimeoutMs: 55_000,
  untrustedIdleTimeoutMs: 10_000,
  untrustedRequestTimeoutMs: 60_000,
  http1IdleTimeoutMs: 80_000,
  http2IdleTimeoutMs: 15 * 60_000,
  maxStreams: 256,
  untrustedWindows: { stream: 256 * kib, connection: 1 * mib },
  trustedWindows: { stream: 16 * mib, connection: 64 * mib },
  maxUntrustedConnections: 1_024,
  untrustedBytes: 6 * mib,
  untrustedBytesAssured: 96 * kib,
  leftoverTimeoutMs: 10_000,
  leftoverBytes: 16 * mib,
  leftoverBytesPerSecond: 2 * mib,
  heldAnswerMs: 1_000,
  heldAnswerMaxBytes: 4 * mib,
  closeTimeoutMs: 9_500,
};

/** How often connections are checked against their timeouts: often enough for the shortest, once a second at most. */
export function checkIntervalMs(limits: ListenerLimits): number {
  const shortest = Math.min(
    limits.firstHeadTimeoutMs,
    limits.bodyStallTimeoutMs,
    limits.untrustedIdleTimeoutMs,
    limits.untrustedRequestTimeoutMs,
    limits.http1IdleTimeoutMs,
    limits.http2IdleTimeoutMs,
  );
  return Math.min(1_000, Math.max(10, Math.floor(shortest / 5)));
}
