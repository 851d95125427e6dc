import { Duplex } from "node:stream";

/**
 * A socket whose other end is overheard: `hear` gets each piece before the reader does. Node's HTTP/2 reads a socket
 * past JavaScript unless it is wrapped.
 */
export class OverheardSocket extends Duplex {
  readonly #socket: Duplex;

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

  override _write(piece: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(piece, done);
  }

  override _writev(pieces: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const last = pieces.length - 1;
    this.#socket.cork();
    for (const [index, { chunk }] of pieces.entries()) {
      if (index < last) this.#socket.write(chunk);
      else this.#socket.write(chunk, done);
    }
    this.#socket.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
