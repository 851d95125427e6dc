import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonValue,
  type Message,
  type Registry,
  ScalarType,
  toJson,
} from "@bufbuild/protobuf";
import { isWrapperDesc, type Timestamp } from "@bufbuild/protobuf/wkt";
import { ruleOf, spellingsOf } from "./rules.ts";

/** Writes a field's value as it lies in memory. */
export type ValueWriter = (value: unknown) => string;

/** Makes the writers of field values; messages are left to `messageWriter`. */
export function createValueWriters(
  registry: Registry,
  messageWriter: (desc: DescMessage) => (message: Message) => string,
): (field: DescField) => ValueWriter {
  const single = (field: DescField): ValueWriter => {
    if (field.enum) return enumWriter(field.enum);
    if (field.message) return messageFieldWriter(field, field.message);
    return ruleOf(field).jsonText ? jsonText(field) : scalarWriter(field);
  };
  const messageFieldWriter = (field: DescField, desc: DescMessage): ValueWriter => {
    if (isWrapperDesc(desc) && field.fieldKind === "message" && !field.oneof) {
      return single(valueFieldOf(desc)); // lies in memory as the bare value
    }
    // Lies in memory as a plain object, but for the one in google.protobuf.Value.
    if (desc.typeName === "google.protobuf.Struct" && field.parent?.typeName !== "google.protobuf.Value") {
      return (value) => JSON.stringify(value);
    }
    const write = wellKnownWriter(desc) ?? messageWriter(desc);
    return (value) => write(value as Message); // a field of this type holds nothing else
  };
  const wellKnownWriter = (desc: DescMessage): ((message: Message) => string) | undefined => {
    if (desc.typeName === "google.protobuf.Timestamp") return writeTimestamp(desc);
    if (isWrapperDesc(desc)) {
      const inner = valueFieldOf(desc);
      const write = single(inner);
      return (message) => write((message as unknown as { value: unknown }).value); // all wrappers have that one field
    }
    return canonical.has(desc.typeName) ? (message) => writeCanonical(desc, message, registry) : undefined;
  };
  return (field) => {
    if (field.fieldKind === "list") {
      const write = single(field);
      return (value) => `[${(value as unknown[]).map((element) => write(element)).join(",")}]`;
    }
    if (field.fieldKind === "map") {
      const write = single(field);
      return (value) => {
        const members = Object.entries(value as object);
        return `{${members.map(([key, element]) => `${JSON.stringify(key)}:${write(element)}`).join(",")}}`;
      };
    }
    return single(field);
  };
}

// Their canonical form is what anyone would write by hand.
const canonical = new Set(
  ["Duration", "FieldMask", "Any", "Struct", "Value", "ListValue"].map((name) => `google.protobuf.${name}`),
);

function writeCanonical(desc: DescMessage, message: Message, registry: Registry): string {
  return JSON.stringify(toJson(desc, message, { registry }) satisfies JsonValue);
}

function writeTimestamp(desc: DescMessage): (message: Message) => string {
  return (message) => {
    const { seconds, nanos } = message as Timestamp;
    // Whole milliseconds are the rule, and their text is at hand.
    if (nanos % 1_000_000 !== 0 || seconds < 0n || seconds > 253_402_300_799n) {
      return JSON.stringify(toJson(desc, message));
    }
    const text = new Date(Number(seconds) * 1000 + nanos / 1_000_000).toISOString();
    return nanos === 0 ? `"${text.slice(0, 19)}Z"` : `"${text}"`;
  };
}

function valueFieldOf(wrapper: DescMessage): DescField {
  const [field] = wrapper.fields;
  if (field === undefined) throw new TypeError(`${wrapper} has no field`);
  return field;
}

function enumWriter(desc: DescEnum): ValueWriter {
  if (desc.typeName === "google.protobuf.NullValue") return () => "null";
  const spellings = spellingsOf(desc);
  const written = new Map(desc.values.map(({ number }) => [number, JSON.stringify(spellings.of(number))]));
  return (value) => written.get(value as number) ?? integer(value);
}

function scalarWriter(field: DescField): ValueWriter {
  switch (field.scalar) {
    case ScalarType.STRING:
      return text;
    case ScalarType.BOOL:
      return (value) => (value === true ? "true" : "false");
    case ScalarType.BYTES:
      return bytes;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return float;
    default:
      return integer;
  }
}

function text(value: unknown): string {
  if (typeof value !== "string") throw notOfType("a string", value);
  return JSON.stringify(value);
}

function bytes(value: unknown): string {
  if (!(value instanceof Uint8Array)) throw notOfType("bytes", value);
  return `"${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64")}"`;
}

function float(value: unknown): string {
  if (typeof value !== "number") throw notOfType("a number", value);
  if (!Number.isFinite(value)) return `"${value}"`;
  return Object.is(value, -0) ? "-0" : `${value}`;
}

function integer(value: unknown): string {
  if (Number.isInteger(value) || typeof value === "bigint") return `${value}`;
  if (typeof value === "string") return `${BigInt(value)}`;
  throw notOfType("an integer", value);
}

function jsonText(field: DescField): ValueWriter {
  return (value) => {
    const source = value as string;
    try {
      JSON.parse(source);
    } catch (cause) {
      throw new TypeError(`${field} does not hold JSON`, { cause });
    }
    return source;
  };
}

function notOfType(expected: string, value: unknown): TypeError {
  return new TypeError(`expected ${expected} to write, got ${typeof value}`);
}
