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
import { Http2Connection } from "./http2/connection.ts";
import { requestHeader } from "./http2/header-block.ts";
import { type Answer, ConnectionLost } from "./http2/request.ts";

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
  readonly #connections = new Set<Http2Connection>();
  readonly #onCall: (method: string) => void;
  #closed = false;

  /** `onCall` is told the method of every call. */
  constructor(socketPath: string, onCall: (method: string) => void = () => undefined) {
    this.#socketPath = socketPath;
    this.#onCall = onCall;
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
    return fromBinary(method.output, await this.callRaw(method, request, timeoutMs));
  }

  /** Like {@link call}; resolves with the answer as it came. */
  callRaw<I extends DescMessage>(
    method: DescMethodUnary<I>,
    request: MessageInitShape<I>,
    timeoutMs = 10_000,
  ): Promise<Buffer> {
    return this.exchange(method, toBinary(method.input, create(method.input, request)), timeoutMs);
  }

  /** Calls a method with a message that is encoded already; resolves with the answer as it came. Throws like {@link call}. */
  async exchange(method: DescMethodUnary, message: Uint8Array, timeoutMs = 10_000): Promise<Buffer> {
    this.#onCall(method.name);
    const header = headerOf(method);
    const body = frame(message);
    const wasOpen = this.#connections.size > 0;
    try {
      return unpack(await this.#open().request(header, body, timeoutMs));
    } catch (error) {
      const repeatable = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
      if (!(error instanceof ConnectionLost) || this.#closed) throw error;
      if (!error.isUntouched && !(wasOpen && repeatable)) throw error;
      return unpack(await this.#open().request(header, body, timeoutMs));
    }
  }

  /** Ends the connection. Calls in flight fail. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#connections) connection.close();
  }

  #open(): Http2Connection {
    if (this.#closed) throw new EngineUnreachable("the connection to xray is closed");
    for (const connection of this.#connections) if (connection.isUsable) return connection;
    const connection = new Http2Connection(this.#socketPath);
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    return connection;
  }
}

const headers = new Map<DescMethodUnary, Buffer>();

function headerOf(method: DescMethodUnary): Buffer {
  const before = headers.get(method);
  if (before !== undefined) return before;
  const header = requestHeader(`/${method.parent.typeName}/${method.name}`);
  headers.set(method, header);
  return header;
}

/** The message of an answer. */
function unpack({ fields: { grpcStatus, grpcMessage }, body }: Answer): Buffer {
  if (grpcStatus === undefined) throw new EngineUnreachable("xray answered without a status");
  if (grpcStatus !== "0") {
    const text = decodeMessage(grpcMessage ?? "");
    // Everything that Xray's own code says is Unknown, NotFound where a counter is; the rest comes from the transport.
    if (grpcStatus === "2" || grpcStatus === "5") throw new XrayRefusal(text);
    throw new EngineUnreachable(`${text} (gRPC code ${grpcStatus})`);
  }
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
