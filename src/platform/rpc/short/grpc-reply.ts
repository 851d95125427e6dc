import { constants, type ServerHttp2Stream } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Compression, compressedFlag } from "@connectrpc/connect/protocol";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { joined } from "../../joined.ts";
import type { Call } from "../call/call.ts";
import { prefixBytes, writePrefix } from "./frames.ts";
import { answerHeader, answerTrailer } from "./http2-answer.ts";

// What one write carries, unless a single message is larger.
const batchMaxBytes = 16 * 1024;

/** Options of {@link GrpcReply}. */
export interface GrpcReplyOptions {
  stream: ServerHttp2Stream;
  call: Call;
  /** What the client accepts. */
  compression: Compression | null;
  /** Messages below it are sent as they are. */
  compressMinBytes: number;
}

/** The answer to a gRPC call: messages, then the status. Nothing is sent to a stream that is closed. */
export class GrpcReply {
  readonly #stream: ServerHttp2Stream;
  readonly #options: GrpcReplyOptions;
  #batch: Buffer[] = [];
  #batchBytes = 0;
  #ticking = false;
  #drained: Promise<void> | undefined;

  constructor(options: GrpcReplyOptions) {
    this.#options = options;
    this.#stream = options.stream;
  }

  /** The client cannot be told anything any more. */
  get closed(): boolean {
    return this.#stream.closed || this.#stream.destroyed;
  }

  /**
   * Sends a message: a frame whose prefix is still to be written. The messages of one turn of the event loop leave in one
   * write. Returns what to wait for before the next one, if anything.
   */
  send(frame: Buffer): Promise<void> | undefined {
    if (this.#isCompressed(frame)) return this.#compress(frame).then(() => this.#soon());
    this.#add(0, frame);
    return this.#soon();
  }

  /** Sends the one message of a call as {@link send} does, and the status OK. Returns what to wait for, if anything. */
  answer(frame: Buffer): Promise<void> | undefined {
    if (this.#isCompressed(frame)) return this.#compress(frame).then(() => this.finish());
    this.#add(0, frame);
    this.finish();
    return undefined;
  }

  /** Sends the head, unless it has left: what the handler sets in it from now on is too late. */
  begin(): void {
    if (!this.closed) this.#open();
  }

  /** Ends with the status OK. */
  finish(): void {
    if (this.closed) return;
    this.#open();
    this.#end();
    if (!this.#stream.readableEnded) this.#stream.resume();
  }

  /** Ends with a status that says what went wrong. What was not meant for the client becomes an internal error. */
  fail(cause: unknown): void {
    if (this.closed) return;
    const { responseHeader, responseTrailer } = this.#options.call;
    const error = cause instanceof ConnectError ? cause : new ConnectError("internal error", Code.Internal);
    setTrailerStatus(responseTrailer, error);
    const header = responseHeader.toFields();
    if (!this.#stream.headersSent && Object.keys(header).every((name) => ours.has(name))) {
      // In one piece, so that no client waits for more, or misses the status when it stops listening early.
      this.#stream.respond(answerHeader({ ...header, ...responseTrailer.toFields() }), { endStream: true });
    } else {
      this.#open();
      this.#end();
    }
    if (!this.#stream.readableEnded) this.#stream.resume();
  }

  /** Gives up on a client that cannot be answered properly. */
  reset(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  #isCompressed(frame: Buffer): boolean {
    const { compression, compressMinBytes } = this.#options;
    return compression !== null && frame.length - prefixBytes >= compressMinBytes;
  }

  async #compress(frame: Buffer): Promise<void> {
    const compressed = await this.#options.compression?.compress(frame.subarray(prefixBytes));
    if (compressed !== undefined)
      this.#add(compressedFlag, Buffer.concat([frame.subarray(0, prefixBytes), compressed]));
  }

  #add(flags: number, frame: Buffer): void {
    if (this.closed) return;
    // Whatever the handler sets in the header from now on is too late, as it is on any other path.
    this.#open();
    writePrefix(frame, flags);
    if (this.#batchBytes > 0 && this.#batchBytes + frame.length > batchMaxBytes) this.#flush();
    this.#batch.push(frame);
    this.#batchBytes += frame.length;
  }

  #soon(): Promise<void> | undefined {
    if (this.#batchBytes >= batchMaxBytes) {
      this.#flush();
    } else if (!this.#ticking) {
      this.#ticking = true;
      process.nextTick(() => {
        this.#ticking = false;
        this.#flush();
      });
    }
    if (!this.#stream.writableNeedDrain) return undefined;
    this.#drained ??= this.#untilDrained();
    return this.#drained;
  }

  async #untilDrained(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stream.on("drain", resolve).on("close", resolve);
    if (!this.closed) await promise;
    this.#stream.off("drain", resolve).off("close", resolve);
    this.#drained = undefined;
  }

  #flush(): void {
    if (this.#batch.length === 0) return;
    const bytes = this.#take();
    if (!this.closed) this.#stream.write(bytes);
  }

  #take(): Buffer {
    const bytes = joined(this.#batch);
    this.#batch = [];
    this.#batchBytes = 0;
    return bytes;
  }

  #open(): void {
    if (this.#stream.headersSent) return;
    this.#stream.respond(answerHeader(this.#options.call.responseHeader.toFields()), waitForTrailers);
    this.#stream.on("wantTrailers", () => {
      try {
        this.#stream.sendTrailers(answerTrailer(this.#options.call.responseTrailer.toFields()));
      } catch {
        this.reset(); // a trailer that HTTP/2 refuses
      }
    });
  }

  #end(): void {
    if (this.#batch.length > 0) this.#stream.end(this.#take());
    else this.#stream.end();
  }
}

const waitForTrailers = { waitForTrailers: true };
// What a header has without the handler's doing.
const ours = new Set([":status", "content-type", "grpc-encoding", "x-request-id"]);
