import type { DescMethod, Message } from "@bufbuild/protobuf";
import { createMethodSerializationLookup, type UniversalHandlerOptions } from "@connectrpc/connect/protocol";
import { createPlainReader } from "./plain-reader.ts";

/** Reads requests and writes responses of a method in one format. Both throw what the client is told. */
export interface Codec {
  readonly parse: (buffer: Buffer, start: number, end: number) => Message;
  readonly serialize: (message: Message) => Uint8Array;
}

/** Limits and formats of the router. */
export type CodecOptions = Required<Pick<UniversalHandlerOptions, "readMaxBytes" | "writeMaxBytes">> &
  Pick<UniversalHandlerOptions, "binaryOptions" | "jsonOptions">;

/** Compiles the codecs of a method. */
export function createCodecs(method: DescMethod, options: CodecOptions): Record<"binary" | "json", Codec> {
  const general = createMethodSerializationLookup(method, options.binaryOptions, options.jsonOptions, options);
  const [binary, json] = [general.getI(true), general.getI(false)];
  const readPlain = createPlainReader(method.input);
  return {
    binary: {
      parse: (buffer, start, end) =>
        // A copy: messages may keep a view of what they are read from, which here is all that came from the socket.
        readPlain(buffer, start, end) ?? binary.parse(new Uint8Array(buffer.subarray(start, end))),
      serialize: general.getO(true).serialize,
    },
    json: {
      parse: (buffer, start, end) => json.parse(buffer.subarray(start, end)),
      serialize: general.getO(false).serialize,
    },
  };
}

/** The same bytes as a buffer. */
export function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
