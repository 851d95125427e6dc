import { joined } from "../../../../platform/joined.ts";
import { contentOf, type Frame, frameFlag, frameType, ProtocolBroken } from "./frames.ts";

/** A header block that is whole. */
export interface HeaderBlock {
  readonly streamId: number;
  readonly block: Buffer;
  /** The stream ends with it. */
  readonly isLast: boolean;
}

/** Puts header blocks together that go on in CONTINUATION frames, between which nothing else may come. */
export class HeaderJoiner {
  #open: { readonly head: Frame; readonly parts: Buffer[] } | undefined;

  /** To be shown every frame. Returns a block when it is whole; throws {@link ProtocolBroken}. */
  take(frame: Frame): HeaderBlock | undefined {
    if (frame.type === frameType.continuation) {
      if (this.#open === undefined || this.#open.head.streamId !== frame.streamId)
        throw new ProtocolBroken("the rest of a header that is not open");
      this.#open.parts.push(frame.payload);
      if (this.#open.parts.length > framesMax) throw new ProtocolBroken("a header without end");
    } else {
      if (this.#open !== undefined) throw new ProtocolBroken("a cut header");
      if (frame.type !== frameType.headers) return undefined;
      this.#open = { head: frame, parts: [contentOf(frame)] };
    }
    if ((frame.flags & frameFlag.endHeaders) === 0) return undefined;
    const { head, parts } = this.#open;
    this.#open = undefined;
    return { streamId: head.streamId, block: joined(parts), isLast: (head.flags & frameFlag.endStream) !== 0 };
  }
}

/** The header of a gRPC answer takes one frame; 256 KiB are not meant well. */
const framesMax = 16;
