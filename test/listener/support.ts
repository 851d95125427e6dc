import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2, type Http2ServerResponse } from "node:http2";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { afterEach } from "vitest";
import { createSelfSignedCertificate } from "../../src/platform/identity/certificate.ts";
import type { ListenerLimits } from "../../src/platform/listener/limits.ts";
import {
  createListener,
  type Listener,
  type ListenerOptions,
  type Request,
} from "../../src/platform/listener/listener.ts";

/** A certificate for this machine, as the listener takes it. */
export const pair = createSelfSignedCertificate({
  hostNames: ["localhost"],
  addresses: ["127.0.0.1"],
  now: new Date(),
});

/** What answers requests. Both kinds of answers have what these tests use. */
export type Handler = (request: Request, response: ServerResponse & Http2ServerResponse) => void;

/** A listener that listens on a port of its own. */
export interface Started {
  readonly port: number;
  readonly listener: Listener;
  /** Why connections were closed, in order. */
  readonly refusals: string[];
  /** Closes it as Fastify does; answers how long that took, in milliseconds. */
  close(): Promise<number>;
}

const opened: { close(): unknown }[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});

/** Something that ends with the test. */
export function ends<T extends { close(): unknown }>(one: T): T {
  opened.push(one);
  return one;
}

/** Starts a listener that ends with the test. */
export async function start(
  handler: Handler,
  { limits, ...options }: Omit<ListenerOptions, "limits"> & { limits?: Partial<ListenerLimits> } = {},
): Promise<Started> {
  const refusals: string[] = [];
  const listener = createListener({
    onRefused: (_peer, reason) => refusals.push(reason),
    ...options,
    ...(limits && { limits }),
  });
  const server = listener.serve((request, response) => handler(request, response as Parameters<Handler>[1]));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  let closing: Promise<number> | undefined;
  return ends({
    port: (server.address() as AddressInfo).port,
    listener,
    refusals,
    close() {
      closing ??= (async () => {
        const begin = performance.now();
        setTimeout(() => server.closeAllConnections(), 15_000).unref();
        await once(server.close(), "close");
        return performance.now() - begin;
      })();
      return closing;
    },
  });
}

/** The client's end of a raw connection. */
export interface Line {
  readonly socket: Duplex;
  write(bytes: string | Uint8Array): void;
  /** Everything received so far, one character per byte. */
  text(): string;
  /** Waits until what was received has this in it, and answers it all. Fails when the connection closes before. */
  until(wanted: RegExp | string): Promise<string>;
  /** Waits for the end of the connection; answers how long that took since it was opened, in milliseconds. */
  closed(): Promise<number>;
  close(): void;
}

/** Opens a raw connection. With `allowHalfOpen`, this end stays open when the other has closed. */
export async function open(
  port: number,
  tls?: ConnectionOptions,
  own: { allowHalfOpen?: boolean } = {},
): Promise<Line> {
  const begin = performance.now();
  const socket: Socket | TLSSocket =
    tls === undefined
      ? connect({ port, host: "127.0.0.1", ...own })
      : connectTls({ port, host: "127.0.0.1", ca: pair.cert, ...tls, ...own });
  const line = lineOn(socket, begin);
  await once(socket, tls === undefined ? "connect" : "secureConnect");
  return line;
}

function lineOn(socket: Socket, begin: number): Line {
  let text = "";
  let over = false;
  const waiters = new Set<() => void>();
  const wake = () => {
    for (const waiter of waiters) waiter();
  };
  const closed = new Promise<number>((resolve) => {
    socket.once("close", () => {
      over = true;
      resolve(performance.now() - begin);
      wake();
    });
  });
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    wake();
  });
  socket.on("error", () => undefined);
  return ends({
    socket,
    write: (bytes) => void socket.write(bytes),
    text: () => text,
    until: (wanted) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = typeof wanted === "string" ? text.includes(wanted) : wanted.test(text);
          if (!found && !over) return;
          waiters.delete(look);
          if (found) resolve(text);
          else reject(new Error(`closed after ${JSON.stringify(text)}`));
        };
        waiters.add(look);
        look();
      }),
    closed: () => closed,
    close: () => void socket.destroy(),
  });
}

/** Opens an HTTP/2 connection of Node's client. */
export function http2Client(port: number, options: Parameters<typeof connectHttp2>[1] & { secure?: boolean } = {}) {
  const { secure = false, ...rest } = options;
  const session: ClientHttp2Session = connectHttp2(`${secure ? "https" : "http"}://127.0.0.1:${port}`, {
    ca: pair.cert,
    ...rest,
  });
  session.on("error", () => undefined);
  ends({ close: () => session.destroy() });
  return session;
}

/** What came back on an HTTP/2 stream. */
export interface Answered {
  status: number | undefined;
  body: string;
  /** With what code the stream was reset; 0: it ended well, or the rest of the request was refused. */
  code: number;
}

/** Sends a request over HTTP/2 and waits for its stream to close. */
export async function ask(
  session: ClientHttp2Session,
  headers: Record<string, string | number> = {},
  body?: string | Buffer,
): Promise<Answered> {
  const stream = session.request({ ":path": "/", ...(body !== undefined && { ":method": "POST" }), ...headers });
  let status: number | undefined;
  let text = "";
  stream.on("response", (head) => {
    status = head[":status"];
  });
  stream.on("data", (chunk) => {
    text += chunk;
  });
  stream.on("error", () => undefined);
  if (body !== undefined) stream.end(body);
  await once(stream, "close").catch(() => undefined);
  return { status, body: text, code: stream.rstCode };
}

/** Waits. */
export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
