import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from "node:http2";
import { createConnection } from "node:net";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { EngineUnreachable } from "../engine-error.ts";

/** Xray answered a call with an error. The message is Xray's text. */
export class XrayRefusal extends Error {
  override readonly name = "XrayRefusal";
}

/** Xray has refused a call in words like these. */
export function isRefusal(error: unknown, text: RegExp): error is XrayRefusal {
  return error instanceof XrayRefusal && text.test(error.message);
}

/**
 * Calls Xray's API over its unix socket: unary gRPC on one HTTP/2 connection, opened when it is needed and opened again
 * when Xray closed it. Many calls may be in flight.
 */
export class XrayApi {
  readonly #socketPath: string;
  #session: ClientHttp2Session | undefined;
  #closed = false;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /**
   * Calls a method. Throws {@link XrayRefusal}, or {@link EngineUnreachable} when no answer came within the time. Calls
   * without side effects are repeated once when a connection that was open before turns out to be gone.
   */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    timeoutMs = 10_000,
  ): Promise<MessageShape<O>> {
    const path = `/${method.parent.typeName}/${method.name}`;
    const body = frame(toBinary(method.input, create(method.input, request)));
    const wasOpen = this.#session !== undefined;
    try {
      return fromBinary(method.output, await this.#exchange(path, body, timeoutMs));
    } catch (error) {
      const repeatable = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
      if (!(error instanceof ConnectionLost) || !wasOpen || !repeatable || this.#closed) throw error;
      return fromBinary(method.output, await this.#exchange(path, body, timeoutMs));
    }
  }

  /** Ends the connection. Calls in flight fail. */
  close(): void {
    this.#closed = true;
    this.#session?.destroy();
    this.#session = undefined;
  }

  #exchange(path: string, body: Buffer, timeoutMs: number): Promise<Buffer> {
    if (this.#closed) throw new EngineUnreachable("the connection to xray is closed");
    const stream = this.#open().request(
      { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" },
      { endStream: false },
    );
    stream.end(body);
    return readReply(stream, timeoutMs);
  }

  #open(): ClientHttp2Session {
    if (this.#session !== undefined) return this.#session;
    const session = connect("http://localhost", {
      createConnection: () => createConnection(this.#socketPath),
      // A reply with the counters of many users is one message of several megabytes.
      settings: { initialWindowSize: 16 << 20, enablePush: false },
      maxSessionMemory: 256,
    });
    const forget = () => {
      if (this.#session === session) this.#session = undefined;
    };
    // What fails is told to every call in flight.
    session.on("error", forget);
    session.on("goaway", forget);
    session.on("close", forget);
    session.on("connect", () => session.setLocalWindowSize(64 << 20));
    this.#session = session;
    return session;
  }
}

/** The connection went away before the answer had come. */
class ConnectionLost extends EngineUnreachable {}

function readReply(stream: ClientHttp2Stream, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let status: IncomingHttpHeaders = {};
    let cause = "xray closed the connection";
    const timer = setTimeout(() => {
      reject(new EngineUnreachable(`xray did not answer within ${timeoutMs} ms`));
      stream.close();
    }, timeoutMs);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", (error) => {
      cause = error.cause instanceof Error ? error.cause.message : error.message;
    });
    // An error without a message comes in the headers already.
    stream.on("response", (headers) => {
      if (headers["grpc-status"] !== undefined) status = headers;
    });
    stream.on("trailers", (trailers) => {
      status = trailers;
    });
    stream.on("close", () => {
      clearTimeout(timer);
      try {
        resolve(unpack(status, chunks, cause));
      } catch (error) {
        reject(error);
      }
    });
  });
}

/** The message of a finished reply. */
function unpack(status: IncomingHttpHeaders, chunks: readonly Buffer[], cause: string): Buffer {
  const code = status["grpc-status"];
  if (code === undefined) throw new ConnectionLost(cause);
  if (code !== "0") {
    const text = decodeMessage(String(status["grpc-message"] ?? ""));
    // Everything that Xray's own code says is Unknown, NotFound where a counter is; the rest comes from the transport.
    if (code === "2" || code === "5") throw new XrayRefusal(text);
    throw new EngineUnreachable(`${text} (gRPC code ${code})`);
  }
  const body = Buffer.concat(chunks);
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) {
    throw new EngineUnreachable("xray answered with a malformed message");
  }
  return body.subarray(5);
}

function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(5 + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  return framed;
}

function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
