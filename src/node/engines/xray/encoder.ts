import { create, type DescMessage, type Message, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { createPlainWriter } from "../../../platform/rpc/short/plain-writer.ts";

/** The fields of a message, without what protobuf-es keeps besides. */
type FieldsOf<D extends DescMessage> = Omit<MessageShape<D>, keyof Message>;

/**
 * Makes a function that writes messages of one type, of which the fields are given that differ from an empty one. It
 * writes what `toBinary` writes, at a fraction of the cost: there is one for every user that comes or goes.
 */
export function createEncoder<D extends DescMessage>(desc: D): (fields: Partial<FieldsOf<D>>) => Uint8Array {
  const empty = create(desc);
  const write = createPlainWriter(desc);
  return (fields) => {
    const message = { ...empty, ...fields };
    return write(message, 0) ?? toBinary(desc, message);
  };
}
