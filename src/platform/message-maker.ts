import { create, type DescMessage, type Message } from "@bufbuild/protobuf";

/**
 * Makes empty messages as `create` does, by copying one: in a fraction of the time, and without the garbage of objects
 * that grow field by field. Undefined for messages whose defaults are in a prototype: those of proto2.
 */
export function createMessageMaker(desc: DescMessage): (() => Message & Fields) | undefined {
  const empty = create(desc) as Message & Fields;
  if (Object.getPrototypeOf(empty) !== Object.prototype) return undefined;
  const lists = desc.fields.filter(({ fieldKind }) => fieldKind === "list").map(({ localName }) => localName);
  const maps = desc.fields.filter(({ fieldKind }) => fieldKind === "map").map(({ localName }) => localName);
  const oneofs = desc.oneofs.map(({ localName }) => localName);
  return () => {
    const message: Message & Fields = { ...empty };
    for (const name of lists) message[name] = [];
    for (const name of maps) message[name] = {};
    for (const name of oneofs) message[name] = { case: undefined };
    return message;
  };
}

/** A message is an object with its fields under their local names. */
type Fields = Record<string, unknown>;
