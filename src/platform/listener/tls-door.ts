import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { createSecureContext, createServer, type SecureContextOptions, type TLSSocket } from "node:tls";
import type { Connection } from "./connection.ts";

/** Certificate and key, both PEM. */
export interface KeyPair {
  cert: string | Buffer;
  key: string | Buffer;
}

/** With what TLS is spoken. */
export interface TlsOptions {
  pair: KeyPair;
  /** PEM: client certificates are asked for and must be signed by it. */
  clientCa?: string;
}

/** Where TLS is spoken. */
export interface TlsDoor {
  /** Shakes hands on the socket of a connection, and calls `opened` with the plain text side. */
  accept(connection: Connection, opened: (socket: TLSSocket) => void): void;
  /** From the next handshake on. Throws when certificate and key are not a pair. */
  replace(pair: KeyPair): void;
}

/** Makes the TLS side of a listener. Throws when certificate and key are not a pair. */
export function createTlsDoor({ pair, clientCa }: TlsOptions, handshakeTimeoutMs: number): TlsDoor {
  const context = ({ cert, key }: KeyPair): SecureContextOptions => ({
    cert,
    key,
    minVersion: "TLSv1.2",
    ...(clientCa !== undefined && { ca: clientCa }),
  });
  check(pair);
  const waiting = new Map<string, (socket: TLSSocket) => void>();
  const server = createServer({
    ...context(pair),
    handshakeTimeout: handshakeTimeoutMs,
    requestCert: clientCa !== undefined,
    rejectUnauthorized: clientCa !== undefined,
    // Echo what is offered: the first bytes decide, since some clients offer only h2 and then speak HTTP/1.1. Without a
    // protocol in common the handshake fails (RFC 7301 §3.2).
    ALPNCallback: ({ protocols }) => ["h2", "http/1.1"].find((protocol) => protocols.includes(protocol)),
  });
  server.on("secureConnection", (socket) => waiting.get(endpoints(socket))?.(socket));
  server.on("tlsClientError", (_error, socket) => socket.destroy());

  return {
    accept({ socket }, opened) {
      const key = endpoints(socket);
      const open = (secured: TLSSocket) => {
        waiting.delete(key);
        opened(secured);
      };
      waiting.set(key, open);
      socket.once("close", () => {
        if (waiting.get(key) === open) waiting.delete(key);
      });
      server.emit("connection", socket);
    },
    replace(next) {
      // Before anything has changed: setting the context would leave half of it behind.
      check(next);
      server.setSecureContext(context(next));
    },
  };
}

// OpenSSL itself would serve without a certificate when both are empty.
function check({ cert, key }: KeyPair) {
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw new Error("the key is not that of the certificate");
  }
  createSecureContext({ cert, key });
}

// Node does not tell which socket a TLS socket was made around. Both know their ends, and no two connections share both.
function endpoints(socket: Socket): string {
  return [socket.localAddress, socket.localPort, socket.remoteAddress, socket.remotePort].join(" ");
}
