import { type DescField, type DescMessage, type Message, type Registry, ScalarType } from "@bufbuild/protobuf";
import { type Fields, hasPresence, ruleOf } from "./rules.ts";
import { createValueWriters, type ValueWriter } from "./value-writers.ts";

/** Writes a message of one type, or a part of it, as legacy JSON. */
type MessageWriter = (message: Message) => string;

/** Writers of legacy JSON. */
export interface Writers {
  /** Writes a message as an object. */
  message(desc: DescMessage): MessageWriter;
  /** Writes some fields of a message as the members of an object, without its braces. */
  members(fields: readonly DescField[]): MessageWriter;
  /** Writes the value of one field of a message; `null` when it is absent. */
  value(field: DescField): MessageWriter;
}

/**
 * Makes writers of legacy JSON: each is compiled from a descriptor, once, into closures. They print 64-bit integers as
 * exact numbers, enums in their documented spelling, nulls and defaults where the contract says so, and embed JSON
 * documents verbatim. `emitDefaults`: fields with their default value are written too, at every level. `registry` has
 * the types that `google.protobuf.Any` may hold.
 */
export function createWriters(registry: Registry, emitDefaults: boolean): Writers {
  const messages = new Map<string, MessageWriter>();
  const message = (desc: DescMessage): MessageWriter => {
    const known = messages.get(desc.typeName);
    if (known !== undefined) return known;
    let write: MessageWriter | undefined;
    // Known before its fields are compiled: a message may hold itself.
    messages.set(desc.typeName, (value) => `{${write?.(value)}}`);
    write = members(desc.fields);
    return message(desc);
  };
  const values = createValueWriters(registry, message);
  const members = (fields: readonly DescField[]): MessageWriter => {
    const parts = fields.map((field) => compileField(field, values(field), emitDefaults));
    return (holder) => {
      const local = fieldsOf(holder);
      let out = "";
      for (const part of parts) out = part(local, out);
      return out;
    };
  };
  const value = (field: DescField): MessageWriter => {
    const write = values(field);
    const { localName, oneof } = field;
    return (holder) => {
      const local = fieldsOf(holder);
      const held = oneof ? memberOf(local, oneof.localName, localName) : local[localName];
      return held === undefined ? "null" : write(held);
    };
  };
  return { message, members, value };
}

// By local name, which the descriptor knows and the type does not.
function fieldsOf(message: Message): Fields {
  return message as unknown as Fields;
}

/** The value of a member of a oneof when it is the chosen one. */
function memberOf(fields: Fields, oneof: string, member: string): unknown {
  const chosen = fields[oneof] as { case?: string; value?: unknown }; // how a oneof lies in memory
  return chosen.case === member ? chosen.value : undefined;
}

/** Adds a field of a message to the members that were written before it. */
type FieldWriter = (fields: Fields, out: string) => string;

function compileField(field: DescField, write: ValueWriter, emitDefaults: boolean): FieldWriter {
  const rule = ruleOf(field);
  const { localName } = field;
  const name = `${JSON.stringify(field.jsonName)}:`;
  const append = (out: string, value: string) => (out === "" ? `${name}${value}` : `${out},${name}${value}`);
  const always = (emitDefaults || rule.emitDefault) && !rule.jsonText;

  if (field.oneof) {
    const oneof = field.oneof.localName;
    return (fields, out) => {
      const value = memberOf(fields, oneof, localName);
      if (value !== undefined) return append(out, write(value));
      return rule.explicitNull ? append(out, "null") : out;
    };
  }
  if (field.fieldKind === "list" || field.fieldKind === "map") {
    const isList = field.fieldKind === "list";
    return (fields, out) => {
      const value = fields[localName] as object;
      const isEmpty = isList ? (value as unknown[]).length === 0 : Object.keys(value).length === 0;
      return isEmpty && !always ? out : append(out, write(value));
    };
  }
  if (hasPresence(field)) {
    return (fields, out) => {
      const value = fields[localName];
      // Defaults of proto2 and editions lie on the prototype: they are not the message's own.
      if (value !== undefined && Object.hasOwn(fields, localName)) return append(out, write(value));
      return rule.explicitNull ? append(out, "null") : out;
    };
  }
  const isDefault = defaultTestOf(field);
  return (fields, out) => {
    const value = fields[localName];
    if (always || !isDefault(value)) return append(out, write(value));
    return rule.explicitNull ? append(out, "null") : out;
  };
}

function defaultTestOf(field: DescField): (value: unknown) => boolean {
  if (field.fieldKind === "enum") {
    const zero = field.enum.values[0]?.number;
    return (value) => value === zero;
  }
  switch (field.scalar) {
    case ScalarType.STRING:
      return (value) => value === "";
    case ScalarType.BOOL:
      return (value) => value === false;
    case ScalarType.BYTES:
      return (value) => value instanceof Uint8Array && value.length === 0;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return (value) => Object.is(value, 0);
    default:
      // A 64-bit integer is a bigint, or a string where the contract says so.
      return (value) => value === 0 || value === 0n || value === "0";
  }
}
