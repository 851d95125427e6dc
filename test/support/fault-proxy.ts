import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect,
  constants,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** What a bad network does to one call. Counts of bytes are of bodies; those that are too high cut behind the last one. */
export type CallFault =
  | { readonly kind: "request lost" }
  | { readonly kind: "request cut"; readonly bytes: number }
  | { readonly kind: "request late"; readonly ms: number }
  | { readonly kind: "reply lost" }
  | { readonly kind: "reply cut"; readonly bytes: number }
  | { readonly kind: "reply late"; readonly ms: number }
  /** Two copies at once; the reply is that to either. */
  | { readonly kind: "doubled" }
  /** A copy comes again later, behind others. */
  | { readonly kind: "copy later"; readonly ms: number };

/** A network in front of a server of HTTP/2 without TLS, with faults at the caller's choice. */
export interface FaultProxy {
  /** To be called in the server's place. */
  readonly url: string;
  /** How often each fault came to pass. */
  readonly counts: Readonly<Record<string, number>>;
  /** Asked for each call that is not a stream; undefined: it passes. */
  chooseFault(choose: (path: string) => CallFault | undefined): void;
  /** Each connection breaks, in one direction or the other, behind so many bytes from now on, wherever that is. */
  cutConnections(direction: "up" | "down", bytes: number): void;
  /** Nothing passes any more until {@link heal}: connections are `broken`, or nothing comes through them. */
  part(how: "broken" | "silent"): void;
  /** Ends a partition. Connections that were silent break. */
  heal(): void;
  close(): Promise<void>;
}

/** Starts one. `target` is asked for at each connection: it may be away, and come back. */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const counts: Record<string, number> = {};
  const note = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  let choose: (path: string) => CallFault | undefined = () => undefined;
  let parted: "broken" | "silent" | undefined;
  const far = createFarEnd(target);
  const calls = new Set<Promise<void>>();
  const wires = new Set<Wire>();
  const breakWire = (wire: Wire) => {
    wires.delete(wire);
    wire.near.resetAndDestroy();
    wire.far.destroy();
  };
  const inner = createHttp2Server((request, response) => {
    // Breaks the call's whole connection, as networks do.
    const { remotePort } = request.socket;
    const reset = () => {
      for (const wire of wires) if (wire.far.localPort === remotePort) breakWire(wire);
    };
    const call = relay(request, response, reset).catch(reset);
    calls.add(call);
    void call.then(() => calls.delete(call));
  });
  inner.on("sessionError", () => undefined);

  async function relay(request: Http2ServerRequest, response: Http2ServerResponse, reset: () => void): Promise<void> {
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    if (request.headers["content-type"]?.startsWith("application/connect+")) return stream(request, response, reset);
    const body = await bodyOf(request);
    const fault = choose(request.url);
    if (fault !== undefined) note(fault.kind);
    switch (fault?.kind) {
      case "request lost":
        return reset();
      case "request cut":
        await far.call(request.headers, body, Math.min(fault.bytes, body.length)).catch(() => undefined);
        return reset();
      case "request late":
        await sleep(fault.ms);
        return answer(response, await far.call(request.headers, body));
      case "reply lost":
        await far.call(request.headers, body);
        return reset();
      case "reply cut": {
        const reply = await far.call(request.headers, body);
        response.writeHead(reply.status, reply.headers);
        response.write(reply.body.subarray(0, fault.bytes));
        await sleep(5); // on its way before the end of the connection
        return reset();
      }
      case "reply late": {
        const reply = await far.call(request.headers, body);
        await sleep(fault.ms);
        return answer(response, reply);
      }
      case "doubled":
        return answer(
          response,
          await Promise.any([far.call(request.headers, body), far.call(request.headers, body)]).catch(refused),
        );
      case "copy later": {
        const reply = await far.call(request.headers, body);
        answer(response, reply);
        await sleep(fault.ms);
        await far.call(request.headers, body).catch(() => undefined);
        return;
      }
      default:
        return answer(response, await far.call(request.headers, body));
    }
  }

  async function stream(request: Http2ServerRequest, response: Http2ServerResponse, reset: () => void): Promise<void> {
    const upstream = far.open(request.headers);
    upstream.on("error", reset);
    response.on("close", () => upstream.close(constants.NGHTTP2_CANCEL));
    request.pipe(upstream);
    const closed = once(upstream, "close");
    const [headers] = (await Promise.race([once(upstream, "response"), closed.then(refused)])) as [
      Record<string, unknown>,
    ];
    response.writeHead(Number(headers[":status"]), plain(headers));
    upstream.pipe(response);
    await closed;
  }

  await listening(inner);
  const outer = createServer((near) => {
    near.on("error", () => undefined);
    if (parted === "broken") return void near.resetAndDestroy();
    const behind = connectTcp((inner.address() as AddressInfo).port, "127.0.0.1");
    const wire = { near, far: behind, left: { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY } };
    wires.add(wire);
    const end = () => {
      near.destroy();
      behind.destroy();
      wires.delete(wire);
    };
    const pass = (piece: Buffer, to: Socket, direction: "up" | "down") => {
      if (parted !== undefined) return; // it has got lost
      const left = wire.left[direction];
      to.write(piece.subarray(0, left));
      wire.left[direction] = left - piece.length;
      if (left > piece.length) return;
      note(`cut ${direction}`);
      setTimeout(end, 2); // what was let through is on its way
    };
    near.on("data", (piece: Buffer) => pass(piece, behind, "up")).on("close", end);
    behind
      .on("data", (piece: Buffer) => pass(piece, near, "down"))
      .on("close", end)
      .on("error", end);
  });
  await listening(outer);

  const breakAll = () => {
    for (const wire of wires) breakWire(wire);
  };
  return {
    url: `http://127.0.0.1:${(outer.address() as AddressInfo).port}`,
    counts,
    chooseFault(next) {
      choose = next;
    },
    cutConnections(direction, bytes) {
      for (const { left } of wires) left[direction] = bytes;
    },
    part(how) {
      note(`parted, ${how}`);
      parted = how;
      if (how === "broken") breakAll();
    },
    heal() {
      if (parted === undefined) return;
      parted = undefined;
      breakAll();
    },
    async close() {
      breakAll();
      far.close();
      await Promise.all([outer, inner].map((server) => new Promise((resolve) => server.close(resolve))));
      await Promise.all(calls);
    },
  };
}

/** A connection of a caller, and that which it is passed on by, and how many bytes more go which way. */
interface Wire {
  readonly near: Socket;
  readonly far: Socket;
  readonly left: { up: number; down: number };
}

interface Reply {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Buffer;
}

/** The side of the proxy that calls the server. */
function createFarEnd(target: string) {
  let session: ClientHttp2Session | undefined;
  const current = () => {
    if (session === undefined || session.closed || session.destroyed) {
      session = connect(target);
      session
        .on("error", () => undefined)
        .on("goaway", function (this: ClientHttp2Session) {
          this.close();
        });
    }
    return session;
  };
  const open = (headers: IncomingHttpHeaders) => {
    const { host: _, connection: _connection, ...rest } = headers;
    return current().request({ ...rest, ":authority": new URL(target).host });
  };
  return {
    open,
    /** Sends a call, or only so many bytes of it, which is then given up. */
    async call(headers: IncomingHttpHeaders, body: Buffer, bytes?: number): Promise<Reply> {
      const { "content-length": _length, ...rest } = headers;
      const stream = open(bytes === undefined ? headers : rest);
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      if (bytes !== undefined) {
        const failed = once(stream, "close").catch(() => undefined);
        stream.on("error", () => undefined);
        stream.write(body.subarray(0, bytes));
        await sleep(5);
        stream.close(constants.NGHTTP2_CANCEL);
        await failed;
        throw new Error("given up");
      }
      stream.end(body);
      const response = once(stream, "response");
      const closed = once(stream, "close");
      const [answered] = (await Promise.race([response, closed.then(refused)])) as [Record<string, unknown>];
      await closed;
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) throw new Error("the server has given up");
      return { status: Number(answered[":status"]), headers: plain(answered), body: Buffer.concat(chunks) };
    },
    close() {
      session?.destroy();
    },
  };
}

async function bodyOf(request: Http2ServerRequest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  if (request.aborted) throw new Error("the caller has given up");
  return Buffer.concat(chunks);
}

function answer(response: Http2ServerResponse, { status, headers, body }: Reply): void {
  if (response.stream?.destroyed) return;
  response.writeHead(status, headers);
  response.end(body);
}

function plain(headers: object): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(":")));
}

function refused(): never {
  throw new Error("the server does not answer");
}

async function listening(server: Pick<Server, "listen" | "once">): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("listening", resolve).once("error", reject);
  server.listen(0, "127.0.0.1");
  await promise;
}
