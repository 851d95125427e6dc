import type { DescMethod, Message } from "@bufbuild/protobuf";
import { createMethodSerializationLookup, type UniversalHandlerOptions } from "@connectrpc/connect/protocol";
import { largeBytes, readLarge } from "../read-large.ts";
import { createPlainReader } from "./plain-reader.ts";
import { createPlainWriter } from "./plain-writer.ts";

/** Reads requests, large ones in slices, and writes responses of a method in one format. Fails as the client is told. */
export interface Codec {
  readonly parse: (buffer: Buffer, start: number, end: number) => Message | Promise<Message>;
  /** Writes a message behind `room` bytes that are left to the caller. */
  readonly serialize: (message: Message, room: number) => Buffer;
}

/** Limits and formats of the router. */
export type CodecOptions = Required<Pick<UniversalHandlerOptions, "readMaxBytes" | "writeMaxBytes">> &
  Pick<UniversalHandlerOptions, "binaryOptions" | "jsonOptions">;

/** Compiles the codecs of a method. */
export function createCodecs(method: DescMethod, options: CodecOptions): Record<"binary" | "json", Codec> {
  const general = createMethodSerializationLookup(method, options.binaryOptions, options.jsonOptions, options);
  const [binaryInput, binaryOutput] = [general.getI(true), general.getO(true)];
  const [jsonInput, jsonOutput] = [general.getI(false), general.getO(false)];
  const readPlain = createPlainReader(method.input);
  const writePlain = createPlainWriter(method.output);
  // A copy: messages may keep a view of what they are read from, which here is all that came from the socket.
  const copyOf = (buffer: Buffer, start: number, end: number) => new Uint8Array(buffer.subarray(start, end));
  return {
    binary: {
      parse(buffer, start, end) {
        if (end - start >= largeBytes && end - start <= options.readMaxBytes) {
          // Nothing else came in a buffer that large.
          const bytes = buffer.subarray(start, end);
          // What is wrong with it is told in the router's words.
          return readLarge(method.input, bytes).catch(() => binaryInput.parse(bytes));
        }
        return readPlain(buffer, start, end) ?? binaryInput.parse(copyOf(buffer, start, end));
      },
      serialize(message, room) {
        const bytes = writePlain(message, room);
        const fits = bytes !== undefined && bytes.length - room <= options.writeMaxBytes;
        return fits ? bytes : withRoom(binaryOutput.serialize(message), room);
      },
    },
    json: {
      parse: (buffer, start, end) => jsonInput.parse(buffer.subarray(start, end)),
      serialize: (message, room) => withRoom(jsonOutput.serialize(message), room),
    },
  };
}

function withRoom(bytes: Uint8Array, room: number): Buffer {
  if (room === 0) return asBuffer(bytes);
  const roomy = Buffer.allocUnsafe(room + bytes.length);
  roomy.set(bytes, room);
  return roomy;
}

/** The same bytes as a buffer. */
export function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
