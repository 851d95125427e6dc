import { ProtocolBroken } from "./frames.ts";

/** How much the other end takes, of all streams together and of each (RFC 9113 §5.2). */
export class SendWindows {
  /** What it takes on the connection. */
  connection = usualWindow;
  #initial = usualWindow;

  /** What it takes on a stream that is new. */
  get initial(): number {
    return this.#initial;
  }

  /** The other end takes another amount on new streams, and that much more or less on those that are open. */
  setInitial(bytes: number, streams: Iterable<{ window: number }>): void {
    if (bytes > largestWindow) throw new ProtocolBroken("a window that is too large");
    for (const stream of streams) stream.window = sum(stream.window, bytes - this.#initial);
    this.#initial = bytes;
  }

  /** Takes in what a WINDOW_UPDATE grants; the stream may be over. */
  grant(stream: { window: number } | undefined, streamId: number, payload: Buffer): void {
    const bytes = payload.length === 4 ? payload.readUInt32BE() & largestWindow : 0;
    if (bytes === 0) throw new ProtocolBroken("a window that grows by nothing");
    if (streamId === 0) this.connection = sum(this.connection, bytes);
    else if (stream !== undefined) stream.window = sum(stream.window, bytes);
  }
}

const usualWindow = 65_535;
const largestWindow = 0x7fffffff;

function sum(window: number, bytes: number): number {
  if (window + bytes > largestWindow) throw new ProtocolBroken("a window that is too large");
  return window + bytes;
}
