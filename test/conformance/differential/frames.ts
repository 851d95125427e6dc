import { gzipSync } from "node:zlib";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { StatRequestSchema, UserSchema } from "../../../gen/service/node_pb.ts";

/** The well-formed message of a unary call. */
export const statRequest = encode(StatRequestSchema, { name: "someone", type: 5 });
/** A message of a client stream. */
export const user = encode(UserSchema, { email: "someone", inbounds: ["a", "b"] });

function encode<D extends DescMessage>(desc: D, init: MessageInitShape<D>): Uint8Array {
  return toBinary(desc, create(desc, init));
}

/** A frame of gRPC; `length` may lie. */
export function frame(data: Uint8Array, flags = 0, length = data.length): Uint8Array {
  const prefix = Buffer.alloc(5);
  prefix[0] = flags;
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, data]);
}

/** A frame of gzipped data. */
export function gzipped(data: Uint8Array, flags = 1): Uint8Array {
  return frame(gzipSync(data), flags);
}

/** Bytes, each alone. */
export function byteByByte(bytes: Uint8Array): Uint8Array[] {
  return [...bytes].map((byte) => Uint8Array.of(byte));
}
