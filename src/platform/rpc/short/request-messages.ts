import type { ServerHttp2Stream } from "node:http2";
import type { Message } from "@bufbuild/protobuf";
import { clientLeft } from "../call/client-left.ts";
import { type Frame, FrameReader } from "./frames.ts";

/** The body of a request, as what reads it needs it. */
export interface RequestBody {
  readonly stream: ServerHttp2Stream;
  readonly readMaxBytes: number;
  /** Makes a message of a frame; throws or rejects with what the client is told. */
  readonly decode: (frame: Frame) => Message | Promise<Message>;
}

// What waits for a slow handler before the client is held back.
const waitingMaxBytes = 64 * 1024;

/**
 * The messages that a client sends, in their order. Nothing is read before the first is asked for. Ends with an error
 * when the body is malformed, or when the client has left before its end.
 */
export class RequestMessages implements AsyncIterableIterator<Message> {
  readonly #body: RequestBody;
  readonly #reader: FrameReader;
  #reading = false;
  // Frames that wait for the handler: from `#next` on.
  #frames: Frame[] = [];
  #next = 0;
  #waitingBytes = 0;
  // Who waits for frames.
  readonly #takers: Taker[] = [];
  #end: End | undefined;

  constructor(body: RequestBody) {
    this.#body = body;
    this.#reader = new FrameReader(body.readMaxBytes, (frame) => this.#arrived(frame));
  }

  next(): Promise<IteratorResult<Message>> {
    if (!this.#reading) this.#read();
    const frame = this.#frames[this.#next];
    const taker = Promise.withResolvers<IteratorResult<Message>>();
    if (frame !== undefined) {
      this.#took(frame);
      this.#give(frame, taker);
    } else if (this.#end !== undefined) {
      this.#conclude(this.#end, taker);
    } else {
      this.#takers.push(taker);
    }
    return taker.promise;
  }

  return(): Promise<IteratorResult<Message>> {
    this.#stop({});
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #read(): void {
    this.#reading = true;
    const { stream } = this.#body;
    // An empty body may have ended, or the stream may have closed, while the gate was asked.
    if (stream.readableEnded) this.#finish({});
    else if (stream.destroyed) this.#stop({ error: clientLeft() });
    else this.#listen(stream);
  }

  #listen(stream: ServerHttp2Stream): void {
    stream.on("data", (chunk: Buffer) => {
      if (this.#end === undefined) this.#arriving(() => this.#reader.push(chunk));
    });
    stream.on("end", () => {
      this.#arriving(() => this.#reader.end());
      this.#finish({});
    });
    stream.on("close", () => {
      if (this.#end === undefined) this.#stop({ error: clientLeft() });
    });
  }

  #arriving(read: () => void): void {
    try {
      read();
    } catch (error) {
      this.#finish({ error });
    }
  }

  #arrived(frame: Frame): void {
    if (this.#end !== undefined) return;
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      this.#give(frame, taker);
      return;
    }
    this.#frames.push(frame);
    this.#waitingBytes += sizeOf(frame);
    if (this.#waitingBytes > waitingMaxBytes) this.#body.stream.pause();
  }

  #took(frame: Frame): void {
    this.#next += 1;
    this.#waitingBytes -= sizeOf(frame);
    if (this.#next < this.#frames.length) return;
    this.#frames = [];
    this.#next = 0;
    const { stream } = this.#body;
    if (this.#end === undefined && stream.isPaused()) stream.resume();
  }

  #give(frame: Frame, taker: Taker): void {
    const failed = (error: unknown) => {
      this.#stop({});
      taker.reject(error);
    };
    try {
      const message = this.#body.decode(frame);
      if (message instanceof Promise) message.then((value) => taker.resolve({ done: false, value }), failed);
      else taker.resolve({ done: false, value: message });
    } catch (error) {
      failed(error);
    }
  }

  #conclude(end: End, taker: Taker): void {
    this.#end = {}; // an error is told once
    if (end.error === undefined) taker.resolve({ done: true, value: undefined });
    else taker.reject(end.error);
  }

  /** Nothing more comes; what has come is still given. */
  #finish(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    if (end.error !== undefined) this.#body.stream.pause();
    for (const taker of this.#takers.splice(0)) this.#conclude(this.#end, taker);
  }

  /** Nothing more is given. */
  #stop(end: End): void {
    this.#frames = [];
    this.#next = 0;
    if (this.#end === undefined) this.#body.stream.pause();
    this.#finish(end);
  }
}

type Taker = PromiseWithResolvers<IteratorResult<Message>>;
type End = { error?: unknown };

function sizeOf({ start, end }: Frame): number {
  return end - start;
}
