import { Code, ConnectError } from "@connectrpc/connect";

/** A message on the wire, behind its prefix of five bytes. */
export interface Frame {
  readonly flags: number;
  readonly data: Uint8Array;
}

/** The length of the prefix of a frame: one byte of flags, four bytes of length. */
export const prefixBytes = 5;

/** Splits a body into frames, however it was cut on its way. */
export class FrameReader {
  readonly #readMaxBytes: number;
  readonly #onFrame: (frame: Frame) => void;
  readonly #prefix = new Uint8Array(prefixBytes);
  readonly #view = new DataView(this.#prefix.buffer);
  #prefixFill = 0;
  #data: Uint8Array | undefined;
  #dataFill = 0;

  constructor(readMaxBytes: number, onFrame: (frame: Frame) => void) {
    this.#readMaxBytes = readMaxBytes;
    this.#onFrame = onFrame;
  }

  /** Takes what has arrived. Throws ResourceExhausted for a frame that is announced larger than allowed. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length)
      at = this.#data === undefined ? this.#begin(chunk, at) : this.#fill(this.#data, chunk, at);
  }

  /** Throws InvalidArgument when the body ends within a frame. */
  end(): void {
    if (this.#prefixFill > 0) throw new ConnectError("protocol error: incomplete envelope", Code.InvalidArgument);
  }

  #begin(chunk: Uint8Array, start: number): number {
    let at = start;
    while (this.#prefixFill < prefixBytes && at < chunk.length) {
      this.#prefix[this.#prefixFill++] = chunk[at++] ?? 0;
    }
    if (this.#prefixFill < prefixBytes) return at;
    const size = this.#view.getUint32(1);
    if (size > this.#readMaxBytes) {
      throw new ConnectError(
        `message size ${size} is larger than configured readMaxBytes ${this.#readMaxBytes}`,
        Code.ResourceExhausted,
      );
    }
    if (chunk.length - at >= size) {
      // A copy: a view would keep all that was read from the socket alive as long as the message's bytes.
      this.#complete(Uint8Array.prototype.slice.call(chunk, at, at + size));
      return at + size;
    }
    this.#data = new Uint8Array(Math.min(size, firstBytes));
    this.#dataFill = 0;
    return at;
  }

  #fill(data: Uint8Array, chunk: Uint8Array, at: number): number {
    const size = this.#view.getUint32(1);
    const taken = Math.min(size - this.#dataFill, chunk.length - at);
    const room = this.#dataFill + taken <= data.length ? data : grown(data, this.#dataFill + taken, size);
    room.set(chunk.subarray(at, at + taken), this.#dataFill);
    this.#data = room;
    this.#dataFill += taken;
    if (this.#dataFill === size) this.#complete(room);
    return at + taken;
  }

  #complete(data: Uint8Array): void {
    this.#prefixFill = 0;
    this.#data = undefined;
    this.#onFrame({ flags: this.#prefix[0] ?? 0, data });
  }
}

// Memory follows what has arrived, not what was announced.
const firstBytes = 256 * 1024;

function grown(data: Uint8Array, atLeast: number, size: number): Uint8Array {
  const larger = new Uint8Array(Math.min(size, Math.max(atLeast, data.length * 4)));
  larger.set(data);
  return larger;
}

/** Puts frames behind one another; `byteLength` is that of all, with their prefixes. */
export function joinFrames(frames: readonly Frame[], byteLength: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(byteLength);
  let at = 0;
  for (const { flags, data } of frames) {
    bytes[at] = flags;
    bytes.writeUInt32BE(data.length, at + 1);
    bytes.set(data, at + prefixBytes);
    at += prefixBytes + data.length;
  }
  return bytes;
}
