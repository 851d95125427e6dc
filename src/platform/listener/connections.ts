import { constants } from "node:http2";
import type { Socket } from "node:net";
import { Connection, lastWordMs } from "./connection.ts";
import { checkIntervalMs, type ListenerLimits } from "./limits.ts";
import { idle, overdue } from "./overdue.ts";
import type { Peer } from "./peer.ts";
import { plainAnswer } from "./refusals.ts";
import { createUntrustedBudget, type UntrustedBudget } from "./untrusted-budget.ts";
import { setWindows } from "./windows.ts";

/** The open connections of a listener, and the clock that closes those that take too long. */
export interface Connections {
  readonly budget: UntrustedBudget;
  readonly nowMs: () => number;
  /** Starts the clock. */
  open(): void;
  /** Takes in a socket that was accepted. */
  add(socket: Socket): Connection;
  /** Those of HTTP/1.1 that carried replies of which nobody knows yet whether they arrived. */
  unproven(): Connection[];
  /** Lets calls that are open finish, and closes everything else. */
  drain(): void;
  /** Cuts what is open. */
  cutAll(): void;
  /** Stops the clock. */
  close(): void;
}

// Whoever closes a listener waits for the last connection.
const drainCheckMs = 50;

/** Makes the registry of a listener. */
export function createConnections(
  limits: ListenerLimits,
  onRefused: (peer: Peer, reason: string) => void,
): Connections {
  const nowMs = () => performance.now();
  const all = new Set<Connection>();
  const untrusted = new Set<Connection>();
  const budget = createUntrustedBudget(limits, nowMs, (connection) => {
    drop(connection, "too much was sent before a credential was shown");
  });
  let clock: NodeJS.Timeout | undefined;
  let deadline: NodeJS.Timeout | undefined;

  function tick(everyMs: number) {
    clearInterval(clock);
    clock = setInterval(check, everyMs).unref();
  }

  function trust(connection: Connection) {
    untrusted.delete(connection);
    budget.release(connection);
    if (connection.session !== undefined) setWindows(connection.session, limits.trustedWindows);
  }

  function check() {
    const now = nowMs();
    for (const connection of all) {
      if (connection.session?.destroyed) connection.overSinceMs ??= now;
      if (connection.overSinceMs !== undefined) {
        if (now - connection.overSinceMs > lastWordMs) connection.socket.destroy();
        continue;
      }
      connection.touch(now);
      const reason = overdue(connection, now, limits);
      if (reason !== undefined) close(connection, reason, now);
    }
  }

  function close(connection: Connection, reason: string, now: number) {
    onRefused(connection, reason);
    const { session, response } = connection;
    if (session !== undefined) {
      if (reason === idle) return session.close();
      session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from(reason));
      session.destroy();
    } else if (reason === idle) {
      connection.end("", now);
    } else if (connection.channel === undefined || (response?.headersSent && !response.writableFinished)) {
      connection.socket.destroy();
    } else {
      connection.end(plainAnswer(408, `Closed: ${reason}.`), now);
    }
  }

  // At once, even though Node may be in the middle of what has arrived: what it has not seen yet shall cost nothing.
  function drop(connection: Connection, reason: string) {
    if (connection.overSinceMs !== undefined) return;
    connection.overSinceMs = nowMs();
    onRefused(connection, reason);
    if (connection.session === undefined) connection.socket.destroy();
    else connection.session.destroy();
  }

  function cutAll() {
    for (const { socket } of all) socket.destroy();
  }

  return {
    budget,
    nowMs,
    open() {
      tick(checkIntervalMs(limits));
    },
    add(socket) {
      const connection = new Connection(socket, nowMs(), trust);
      all.add(connection);
      untrusted.add(connection);
      socket.once("close", () => {
        all.delete(connection);
        untrusted.delete(connection);
        budget.release(connection);
      });
      const [oldest] = untrusted;
      if (oldest !== undefined && untrusted.size > limits.maxUntrustedConnections) {
        onRefused(oldest, "too many connections without a credential");
        untrusted.delete(oldest);
        oldest.socket.destroy();
      }
      return connection;
    },
    unproven: () => [...all].filter(({ session, proof }) => session === undefined && proof?.isOpen),
    drain() {
      for (const connection of all) {
        if (connection.headSeen) connection.session?.close();
        else connection.socket.destroy();
      }
      tick(drainCheckMs);
      deadline ??= setTimeout(cutAll, limits.closeTimeoutMs);
    },
    cutAll,
    close() {
      clearInterval(clock);
      clearTimeout(deadline);
    },
  };
}
