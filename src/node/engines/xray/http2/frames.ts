/** A frame of HTTP/2 (RFC 9113 §4). Its payload is a view of what arrived. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  /** 0: the frame is about the connection. */
  readonly streamId: number;
  readonly payload: Buffer;
}

/** Types of frames. */
export const frameType = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags of frames. */
export const frameFlag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;

/** The length of what precedes a payload. */
export const frameHeadBytes = 9;
/** The largest payload while nobody has agreed to larger ones. */
export const usualPayloadMax = 16_384;

/** The other end does not speak HTTP/2 as it should. */
export class ProtocolBroken extends Error {
  override readonly name = "ProtocolBroken";
}

/** Writes the head of a frame at the beginning of a buffer; returns where the payload begins. */
export function writeFrameHead(
  buffer: Buffer,
  { type, flags, streamId, length }: { type: number; flags: number; streamId: number; length: number },
): number {
  buffer.writeUIntBE(length, 0, 3);
  buffer[3] = type;
  buffer[4] = flags;
  return buffer.writeUInt32BE(streamId, 5);
}

/** A frame in a buffer of its own. */
export function frameOf(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(frameHeadBytes + payload.length);
  frame.set(payload, writeFrameHead(frame, { type, flags, streamId, length: payload.length }));
  return frame;
}

/**
 * Splits what arrives into frames, however it was cut on its way. A frame that is announced larger than usual is thrown
 * as {@link ProtocolBroken}.
 */
export class FrameSplitter {
  readonly #onFrame: (frame: Frame) => void;
  #rest: Buffer | undefined;

  constructor(onFrame: (frame: Frame) => void) {
    this.#onFrame = onFrame;
  }

  push(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= frameHeadBytes) {
      const length = bytes.readUIntBE(at, 3);
      if (length > usualPayloadMax) throw new ProtocolBroken("a frame that is too large");
      const begin = at + frameHeadBytes;
      if (bytes.length - begin < length) break;
      const type = bytes[at + 3] ?? 0;
      const flags = bytes[at + 4] ?? 0;
      const streamId = bytes.readUInt32BE(at + 5) & 0x7fffffff;
      at = begin + length;
      this.#onFrame({ type, flags, streamId, payload: bytes.subarray(begin, at) });
    }
    this.#rest = at < bytes.length ? bytes.subarray(at) : undefined;
  }
}

/** The payload without padding, and without the priority that HEADERS may begin with. */
export function contentOf({ type, flags, payload }: Frame): Buffer {
  let start = 0;
  let end = payload.length;
  if ((flags & frameFlag.padded) !== 0) {
    start += 1;
    end -= payload[0] ?? 0;
  }
  if (type === frameType.headers && (flags & frameFlag.priority) !== 0) start += 5;
  if (start > end) throw new ProtocolBroken("more padding than payload");
  return payload.subarray(start, end);
}
