import { Code, ConnectError } from "@connectrpc/connect";

/** A message that has arrived: part of a buffer, without its prefix. */
export interface Frame {
  readonly flags: number;
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
}

/** The length of the prefix of a frame: one byte of flags, four bytes of length. */
export const prefixBytes = 5;

/** Splits a body into frames, however it was cut on its way. */
export class FrameReader {
  readonly #readMaxBytes: number;
  readonly #onFrame: (frame: Frame) => void;
  // A prefix that was cut.
  #prefix: Buffer | undefined;
  #flags = 0;
  #size = 0;
  // Data that was cut.
  #data: Buffer | undefined;
  #dataFill = 0;

  constructor(readMaxBytes: number, onFrame: (frame: Frame) => void) {
    this.#readMaxBytes = readMaxBytes;
    this.#onFrame = onFrame;
  }

  /** Takes what has arrived. Throws ResourceExhausted for a frame that is announced larger than allowed. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length)
      at = this.#data === undefined ? this.#begin(chunk, at) : this.#fill(this.#data, chunk, at);
  }

  /** Throws InvalidArgument when the body ends within a frame. */
  end(): void {
    if (this.#prefix === undefined && this.#data === undefined) return;
    throw new ConnectError("protocol error: incomplete envelope", Code.InvalidArgument);
  }

  /** Begins a frame; returns how far it came. */
  #begin(chunk: Buffer, start: number): number {
    let at = start + prefixBytes;
    if (this.#prefix === undefined && at <= chunk.length) {
      this.#announced(chunk, start);
    } else {
      const before = this.#prefix ?? chunk.subarray(0, 0);
      at -= before.length;
      const prefix = Buffer.concat([before, chunk.subarray(start, at)]);
      this.#prefix = prefix.length < prefixBytes ? prefix : undefined;
      if (this.#prefix !== undefined) return chunk.length;
      this.#announced(prefix, 0);
    }
    if (chunk.length - at < this.#size) {
      this.#data = Buffer.allocUnsafeSlow(Math.min(this.#size, firstBytes));
      this.#dataFill = 0;
      return at;
    }
    const end = at + this.#size;
    this.#onFrame({ flags: this.#flags, buffer: chunk, start: at, end });
    return end;
  }

  #announced(bytes: Buffer, at: number): void {
    let size = 0;
    for (let index = at + 1; index < at + prefixBytes; index += 1) size = size * 256 + (bytes[index] ?? 0);
    if (size > this.#readMaxBytes) {
      throw new ConnectError(
        `message size ${size} is larger than configured readMaxBytes ${this.#readMaxBytes}`,
        Code.ResourceExhausted,
      );
    }
    this.#flags = bytes[at] ?? 0;
    this.#size = size;
  }

  /** Goes on with a frame; returns how far it came. */
  #fill(data: Buffer, chunk: Buffer, at: number): number {
    const taken = Math.min(this.#size - this.#dataFill, chunk.length - at);
    const room = this.#dataFill + taken <= data.length ? data : grown(data, this.#dataFill + taken, this.#size);
    room.set(chunk.subarray(at, at + taken), this.#dataFill);
    this.#dataFill += taken;
    this.#data = this.#dataFill < this.#size ? room : undefined;
    if (this.#data === undefined) this.#onFrame({ flags: this.#flags, buffer: room, start: 0, end: this.#size });
    return at + taken;
  }
}

// Memory follows what has arrived, not what was announced.
const firstBytes = 256 * 1024;

function grown(data: Buffer, atLeast: number, size: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.min(size, Math.max(atLeast, data.length * 4)));
  larger.set(data);
  return larger;
}

/** Writes the prefix of a frame into the room before its data. */
export function writePrefix(frame: Buffer, flags: number): void {
  frame[0] = flags;
  frame.writeUInt32BE(frame.length - prefixBytes, 1);
}
