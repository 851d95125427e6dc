/** What of the frames that an HTTP/2 client sends tells how the replies to it fare (RFC 9113 §6.4, §6.7). */
export interface FrameHearer {
  /** The client has reset a stream. */
  reset(streamId: number): void;
  /** The client has acknowledged a PING. */
  acknowledged(): void;
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const headBytes = 9;
const rstStream = 3;
const ping = 6;
const ackFlag = 1;

/**
 * Makes a reader of what an HTTP/2 client sends, from the first byte on, in pieces of any size. It tells what it finds in
 * the order in which it was sent, which Node does not: of streams that are closed on its side it hides resets.
 */
export function hearFrames(hearer: FrameHearer): (piece: Buffer) => void {
  const head = Buffer.alloc(headBytes);
  let known = 0;
  /** What is still to come of the preface, or of the payload of a frame. */
  let skip = preface.length;
  return (piece) => {
    for (let at = 0; at < piece.length; ) {
      if (skip > 0) {
        const skipped = Math.min(skip, piece.length - at);
        skip -= skipped;
        at += skipped;
        continue;
      }
      const copied = piece.copy(head, known, at, at + headBytes - known);
      known += copied;
      at += copied;
      if (known < headBytes) return;
      known = 0;
      skip = head.readUIntBE(0, 3);
      const [type, flags = 0] = head.subarray(3);
      if (type === rstStream) hearer.reset(head.readUInt32BE(5) & 0x7fffffff);
      else if (type === ping && flags & ackFlag) hearer.acknowledged();
    }
  };
}
