import { Duplex } from "node:stream";
import { joined } from "../joined.ts";

type Done = (error?: Error | null) => void;

/** What is written is not held back beyond this. */
const mostHeldBytes = 64 * 1024;

/**
 * A socket whose other end is overheard: `hear` gets each piece before the reader does. Node's HTTP/2 reads a socket
 * past JavaScript unless it is wrapped. What it writes is gathered for a moment, so that an answer leaves in one piece:
 * to hand a piece to the system takes longer than to make it.
 */
export class OverheardSocket extends Duplex {
  readonly #socket: Duplex;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isSoon = false;

  constructor(socket: Duplex, hear: (piece: Buffer) => void) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    socket.on("data", (piece: Buffer<ArrayBuffer>) => {
      hear(piece);
      if (!this.push(piece)) socket.pause();
      // Its reader has a copy. Given back now, not when the collector comes by: pieces that a flood brings would pile up.
      if (this.readableLength === 0 && piece.length === piece.buffer.byteLength) piece.buffer.transfer(0);
    });
    socket.once("end", () => this.push(null));
    socket.once("close", () => this.destroy(socket.errored ?? undefined));
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(piece: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#hold(piece);
    this.#written(done);
  }

  override _writev(pieces: { chunk: Buffer }[], done: Done): void {
    for (const { chunk } of pieces) this.#hold(chunk);
    this.#written(done);
  }

  override _final(done: Done): void {
    this.#passOn();
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#passOn();
    this.#socket.destroy();
    done(error);
  }

  #hold(piece: Buffer): void {
    this.#held.push(piece);
    this.#heldBytes += piece.length;
  }

  #written(done: Done): void {
    if (this.#heldBytes < mostHeldBytes && !this.#socket.writableNeedDrain) {
      this.#passOnSoon();
      done();
      return;
    }
    this.#passOn();
    if (this.#socket.writableNeedDrain) this.#socket.once("drain", done);
    else done();
  }

  #passOnSoon(): void {
    if (this.#isSoon) return;
    this.#isSoon = true;
    // Node writes the trailers of an answer two turns of the event loop after its head.
    setImmediate(() => setImmediate(() => setImmediate(() => this.#passOn())));
  }

  #passOn(): void {
    this.#isSoon = false;
    const held = this.#held;
    if (held.length === 0) return;
    this.#held = [];
    this.#heldBytes = 0;
    if (!this.#socket.destroyed) this.#socket.write(joined(held));
  }
}
