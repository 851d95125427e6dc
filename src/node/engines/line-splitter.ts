/** Makes lines of the bytes that a program writes. */
export interface LineSplitter {
  /** Takes the next bytes; the chunk may be used again afterwards. */
  push(chunk: Uint8Array): void;
  /** Nothing more comes: hands over a last line that has no end. */
  end(): void;
}

/**
 * Hands over each line without its end, which is LF or CRLF, as soon as it is complete. Bytes that are no UTF-8 become
 * U+FFFD. Of a line that is longer than `maxBytes` the beginning is kept, with a note how much was cut off, so that
 * no program can make us hold more than that.
 */
export function createLineSplitter(onLine: (line: string) => void, maxBytes = 64 << 10): LineSplitter {
  /** The beginning of the line that is not complete yet: one byte more than is kept, for the CR of a CRLF. */
  let held: Buffer[] = [];
  let heldBytes = 0;
  let lineBytes = 0;

  const hold = (part: Buffer) => {
    lineBytes += part.length;
    const kept = part.subarray(0, maxBytes + 1 - heldBytes);
    if (kept.length > 0) {
      held.push(kept);
      heldBytes += kept.length;
    }
  };
  const finish = () => {
    const line = held.length === 1 && held[0] !== undefined ? held[0] : Buffer.concat(held);
    onLine(textOf(line, lineBytes, maxBytes));
    held = [];
    heldBytes = 0;
    lineBytes = 0;
  };

  return {
    push(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      let from = 0;
      for (let end = bytes.indexOf(lf); end >= 0; end = bytes.indexOf(lf, from)) {
        hold(bytes.subarray(from, end));
        finish();
        from = end + 1;
      }
      if (from < bytes.length) {
        const kept = heldBytes;
        hold(bytes.subarray(from));
        // What waits for its end is copied, for the chunk may be used again.
        if (heldBytes > kept) held.push(Buffer.from(held.pop() ?? []));
      }
    },
    end() {
      if (lineBytes > 0) finish();
    },
  };
}

const lf = 0x0a;
const cr = 0x0d;

function textOf(held: Buffer, lineBytes: number, maxBytes: number): string {
  const end = held.length === lineBytes && held.at(-1) === cr ? held.length - 1 : held.length;
  if (end <= maxBytes) {
    return held.toString("utf8", 0, end);
  }
  // Not in the middle of a character, whose bytes after the first are 10xxxxxx.
  let cut = maxBytes;
  while (cut > maxBytes - 4 && ((held[cut] ?? 0) & 0xc0) === 0x80) cut -= 1;
  return `${held.toString("utf8", 0, cut)} [garrison] ${lineBytes - cut} bytes of this line were cut off`;
}
