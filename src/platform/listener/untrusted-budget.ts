import type { Readable } from "node:stream";
import type { Connection, Unanswered } from "./connection.ts";
import type { ListenerLimits } from "./limits.ts";

/**
 * Bounds the memory that callers can take before they have shown a credential. What they send is charged to them until
 * it is answered. HTTP/2's windows alone bound nothing here: Node returns the connection's window at once, so a
 * connection may leave a full window unread on each of its streams.
 */
export interface UntrustedBudget {
  /** Charges a request, and all that comes in of its body, until `discharge`. Nothing for trusted connections. */
  charge(connection: Connection, body: Readable): void;
  /** The request is answered, or its stream closed. */
  discharge(connection: Connection, body: Readable): void;
  /** The connection is trusted, or closed: nothing is charged to it any more. */
  release(connection: Connection): void;
}

// What Node keeps for a request, and for each piece of a body: many tiny pieces weigh more than their bytes.
const bytesPerRequest = 8 * 1024;
const bytesPerPiece = 1024;
// Reading stops between two reads from a socket, so a single read may bring more than a connection may hold. What brings
// this many times as much was made for it.
const overshoot = 2;

/** Makes the budget of a listener. `cut` ends a connection that holds far more than it may. */
export function createUntrustedBudget(
  limits: ListenerLimits,
  nowMs: () => number,
  cut: (connection: Connection) => void,
): UntrustedBudget {
  const held = new Map<Connection, number>();
  const paused = new Set<Connection>();
  let total = 0;

  function add(connection: Connection, body: Readable, bytes: number) {
    const request = connection.unanswered.get(body);
    if (request === undefined) return;
    request.bytes += bytes;
    total += bytes;
    const own = (held.get(connection) ?? 0) + bytes;
    held.set(connection, own);
    const may = allowance(own);
    if (own > overshoot * may) cut(connection);
    else if (own > may) pause(connection);
  }

  function subtract(connection: Connection, bytes: number) {
    total -= bytes;
    const own = (held.get(connection) ?? 0) - bytes;
    held.set(connection, own);
    if (own <= allowance(own)) resume(connection);
  }

  // A part of what the others leave: however many come, there is always something left for the next one.
  function allowance(own: number) {
    return Math.max(limits.untrustedBytesAssured, (limits.untrustedBytes - (total - own)) / 4);
  }

  // Node reads on by itself after a write: whatever comes then stops it again. HTTP/1.1 stops by itself when nobody reads.
  function pause(connection: Connection) {
    if (connection.session === undefined) return;
    paused.add(connection);
    readingHandle(connection)?.readStop();
  }

  function resume(connection: Connection) {
    if (paused.delete(connection) && connection.overSinceMs === undefined) readingHandle(connection)?.readStart();
  }

  return {
    charge(connection, body) {
      if (connection.trusted || connection.socket.destroyed) return;
      const push = (piece: Buffer | null, encoding?: BufferEncoding) => {
        if (piece !== null) {
          if (connection.overSinceMs !== undefined) return false;
          add(connection, body, piece.length + bytesPerPiece);
        }
        return Object.getPrototypeOf(body).push.call(body, piece, encoding);
      };
      // The one place that every piece passes, read or not. It is Node's own again once the connection is trusted.
      body.push = push;
      connection.unanswered.set(body, { sinceMs: nowMs(), bytes: 0, push });
      add(connection, body, bytesPerRequest + body.readableLength);
    },
    discharge(connection, body) {
      const request = connection.unanswered.get(body);
      if (request === undefined) return;
      forget(connection, body, request);
      subtract(connection, request.bytes);
    },
    release(connection) {
      for (const [body, request] of connection.unanswered) forget(connection, body, request);
      total -= held.get(connection) ?? 0;
      held.delete(connection);
      resume(connection);
    },
  };
}

function forget(connection: Connection, body: Readable, { push }: Unanswered) {
  connection.unanswered.delete(body);
  if (body.push === push) Reflect.deleteProperty(body, "push");
}

/** The part of a handle of Node that stops and starts reading. */
interface ReadingHandle {
  readStop(): void;
  readStart(): void;
}

// Sockets that an HTTP/2 session has taken over refuse `pause`, and nothing public is in its place.
function readingHandle({ socket }: Connection): ReadingHandle | undefined {
  return (socket as unknown as { _handle?: ReadingHandle })._handle;
}
