import { createConnection, type Socket } from "node:net";
import { EngineUnreachable } from "../../engine-error.ts";
import { cancellation, preface, readSettings, setting, windowUpdate } from "./control-frames.ts";
import {
  contentOf,
  type Frame,
  FrameSplitter,
  frameFlag,
  frameHeadBytes,
  frameOf,
  frameType,
  ProtocolBroken,
  usualPayloadMax,
  writeFrameHead,
} from "./frames.ts";
import { readAnswerFields } from "./header-block.ts";
import { type HeaderBlock, HeaderJoiner } from "./header-joiner.ts";
import { Outbox } from "./outbox.ts";
import { type Answer, ConnectionLost, OpenRequest } from "./request.ts";
import { SendWindows } from "./send-windows.ts";

/**
 * An HTTP/2 connection to a unix socket, for requests that are sent whole and answers that are taken whole (RFC 9113).
 * Node's own client costs some hundred microseconds a request, which is several times what Xray takes for a user.
 */
export class Http2Connection {
  readonly #socket: Socket;
  readonly #outbox: Outbox;
  readonly #splitter = new FrameSplitter((frame) => this.#received(frame));
  readonly #headers = new HeaderJoiner();
  readonly #windows = new SendWindows();
  // By stream.
  readonly #open = new Map<number, OpenRequest>();
  // Those that wait until the other end takes more at once.
  readonly #waiting: OpenRequest[] = [];
  // Those of which something is still to be sent, in their order.
  #unsent: OpenRequest[] = [];
  #nextId = 1;
  // Until the other end has said how many it takes at once: it would refuse those that are too many.
  #streamsMax = 0;
  #isSettled = false;
  #unreportedBytes = 0;
  #isUsable = true;
  #end: ConnectionLost | undefined;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;

  constructor(socketPath: string) {
    const socket = createConnection(socketPath);
    let cause = "xray closed the connection";
    socket.on("error", (error) => {
      cause = error.message;
    });
    socket.on("data", (chunk: Buffer) => this.#arrived(chunk));
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#fail(new ConnectionLost(cause));
        resolve();
      });
    });
    this.#socket = socket;
    this.#outbox = new Outbox(socket);
    this.#outbox.add(preface);
  }

  /** Whether it takes new requests. One that does not any more still answers those that it has taken. */
  get isUsable(): boolean {
    return this.#isUsable;
  }

  /**
   * Sends a request with a header of `requestHeader`. Rejects with {@link ConnectionLost}, or with
   * {@link EngineUnreachable} when no answer came within the time, or the other end has given the request up.
   */
  request(header: Buffer, body: Buffer, timeoutMs: number): Promise<Answer> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const request = new OpenRequest(header, body, timeoutMs, () => this.#giveUp(request));
    this.#waiting.push(request);
    this.#begin();
    return request.answer;
  }

  /** Ends the connection. Requests that are not answered yet fail. */
  close(): void {
    this.#fail(new ConnectionLost("the connection to xray is closed"));
  }

  #begin(): void {
    while (this.#isUsable && this.#open.size < this.#streamsMax) {
      const request = this.#waiting.shift();
      if (request === undefined) return;
      request.id = this.#nextId;
      request.window = this.#windows.initial;
      this.#open.set(request.id, request);
      this.#outbox.add(frameOf(frameType.headers, frameFlag.endHeaders, request.id, request.header));
      if (!this.#sendBody(request)) this.#unsent.push(request);
      this.#nextId += 2;
      if (this.#nextId > largestId) this.#retire();
    }
  }

  /** Sends as much of a body as the other end takes; returns whether that is all. */
  #sendBody(request: OpenRequest): boolean {
    const { id, body } = request;
    while (!request.isSent) {
      const start = request.sentBytes;
      const length = Math.min(body.length - start, usualPayloadMax, this.#windows.connection, request.window);
      if (length <= 0) return false;
      request.sentBytes += length;
      request.window -= length;
      this.#windows.connection -= length;
      const frame = Buffer.allocUnsafe(frameHeadBytes + length);
      const flags = request.isSent ? frameFlag.endStream : 0;
      body.copy(
        frame,
        writeFrameHead(frame, { type: frameType.data, flags, streamId: id, length }),
        start,
        start + length,
      );
      this.#outbox.add(frame);
    }
    return true;
  }

  #sendRest(): void {
    if (this.#unsent.length > 0) this.#unsent = this.#unsent.filter((request) => !this.#sendBody(request));
  }

  #arrived(chunk: Buffer): void {
    try {
      this.#splitter.push(chunk);
    } catch (error) {
      if (!(error instanceof ProtocolBroken)) throw error;
      this.#fail(new ConnectionLost(`xray's API does not speak HTTP/2: ${error.message}`));
    }
  }

  #received(frame: Frame): void {
    if (this.#end !== undefined) return;
    const { type, flags, streamId, payload } = frame;
    const header = this.#headers.take(frame);
    if (header !== undefined) this.#receivedHeader(header);
    else if (type === frameType.data) this.#receivedData(frame);
    else if (type === frameType.resetStream) this.#receivedReset(streamId, payload);
    else if (type === frameType.settings && (flags & frameFlag.ack) === 0) this.#receivedSettings(payload);
    else if (type === frameType.ping && (flags & frameFlag.ack) === 0)
      this.#outbox.add(frameOf(frameType.ping, frameFlag.ack, 0, payload));
    else if (type === frameType.goAway) this.#receivedGoAway(payload);
    else if (type === frameType.windowUpdate) {
      this.#windows.grant(this.#open.get(streamId), streamId, payload);
      this.#sendRest();
    } else if (type === frameType.pushPromise) throw new ProtocolBroken("a push");
  }

  #receivedHeader({ streamId, block, isLast }: HeaderBlock): void {
    const fields = readAnswerFields(block);
    const request = this.#open.get(streamId);
    request?.addFields(fields);
    if (request !== undefined && isLast) this.#finish(request);
  }

  #receivedData(frame: Frame): void {
    this.#unreportedBytes += frame.payload.length;
    if (this.#unreportedBytes >= reportAfterBytes) {
      this.#outbox.add(windowUpdate(this.#unreportedBytes));
      this.#unreportedBytes = 0;
    }
    const content = contentOf(frame);
    const request = this.#open.get(frame.streamId);
    if (request === undefined) return; // given up
    if (content.length > 0) request.addContent(content);
    if ((frame.flags & frameFlag.endStream) !== 0) this.#finish(request);
  }

  #receivedReset(streamId: number, payload: Buffer): void {
    const request = this.#open.get(streamId);
    if (request === undefined) return;
    const code = payload.length === 4 ? payload.readUInt32BE() : 0;
    request.fail(
      code === refusedStream
        ? new ConnectionLost("xray refused the call", true)
        : new EngineUnreachable(`xray gave the call up (HTTP/2 error ${code})`),
    );
    this.#forget(request);
  }

  #receivedSettings(payload: Buffer): void {
    // Settings that name no limit leave it as it is, and at first there is none.
    if (!this.#isSettled) this.#streamsMax = Number.POSITIVE_INFINITY;
    this.#isSettled = true;
    for (const [id, value] of readSettings(payload)) {
      if (id === setting.initialWindow) this.#windows.setInitial(value, this.#open.values());
      else if (id === setting.streamsMax) this.#streamsMax = value;
    }
    this.#outbox.add(frameOf(frameType.settings, frameFlag.ack, 0, Buffer.alloc(0)));
    this.#begin();
    this.#sendRest();
  }

  #receivedGoAway(payload: Buffer): void {
    const last = payload.length >= 8 ? payload.readUInt32BE() & largestId : 0;
    this.#retire();
    for (const request of this.#open.values()) {
      if (request.id <= last) continue;
      request.fail(new ConnectionLost("xray takes no more calls", true));
      this.#forget(request);
    }
    this.#endWhenRetired();
  }

  /** Takes no new requests any more; those that wait have to go elsewhere. */
  #retire(): void {
    this.#isUsable = false;
    for (const request of this.#waiting.splice(0)) request.fail(new ConnectionLost("xray takes no more calls", true));
  }

  #finish(request: OpenRequest): void {
    // One that was answered before it was read.
    if (!request.isSent) this.#outbox.add(cancellation(request.id));
    request.finish();
    this.#forget(request);
  }

  #giveUp(request: OpenRequest): void {
    const index = this.#waiting.indexOf(request);
    if (index >= 0) this.#waiting.splice(index, 1);
    else this.#outbox.add(cancellation(request.id));
    this.#forget(request);
  }

  #forget(request: OpenRequest): void {
    this.#open.delete(request.id);
    if (!request.isSent) this.#unsent = this.#unsent.filter((other) => other !== request);
    this.#begin();
    this.#endWhenRetired();
  }

  #endWhenRetired(): void {
    if (!this.#isUsable && this.#open.size === 0) this.close();
  }

  #fail(error: ConnectionLost): void {
    if (this.#end !== undefined) return;
    this.#end = error;
    this.#isUsable = false;
    this.#unsent = [];
    this.#socket.destroy();
    for (const request of this.#open.values()) request.fail(error);
    this.#open.clear();
    for (const request of this.#waiting.splice(0)) request.fail(new ConnectionLost(error.message, true));
  }
}

const largestId = 0x7fffffff;
const refusedStream = 7;
/** How much is taken in before the other end is told that it may send as much again. */
const reportAfterBytes = 16 << 20;
