import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue,
  type Message,
  type Registry,
  ScalarType,
} from "@bufbuild/protobuf";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import {
  type Cursor,
  captureValue,
  enterList,
  enterObject,
  nextElement,
  nextMember,
  peek,
  readBoolean,
  readName,
  readNumber,
  readShortInteger,
  readString,
  skipText,
  unexpected,
} from "./cursor.ts";
import { faultWithin, JsonFault, short } from "./json-fault.ts";
import { ruleOf, spellingsOf } from "./rules.ts";
import { floatFrom, integerFrom, integerOf, quoted } from "./scalars.ts";

/** Reads a field's value and returns it as it lies in memory. */
export type ValueReader = (cursor: Cursor) => unknown;

/** The readers of field values. */
interface ValueReaders {
  /** Reads what a field holds. */
  field(field: DescField): ValueReader;
  /** Reads one element of a list. */
  element(field: DescField): ValueReader;
}

/** Makes the readers of field values; messages are left to `messageReader`. */
export function createValueReaders(
  registry: Registry,
  messageReader: (desc: DescMessage) => (cursor: Cursor) => Message,
): ValueReaders {
  const single = (field: DescField): ValueReader => {
    if (field.enum) return enumReader(field.enum, ruleOf(field).unknownAsZero);
    if (field.message) return messageFieldReader(field, field.message);
    return ruleOf(field).jsonText ? captureValue : scalarReader(field);
  };
  const messageFieldReader = (field: DescField, desc: DescMessage): ValueReader => {
    if (isWrapperDesc(desc)) {
      const inner = desc.fields[0];
      if (inner === undefined) throw new TypeError(`${desc} has no field`);
      const read = single(inner);
      // Lies in memory as the bare value, but for lists, maps and oneofs.
      if (field.fieldKind === "message" && !field.oneof) return read;
      return (cursor) => Object.assign(create(desc), { [inner.localName]: read(cursor) });
    }
    // Lies in memory as a plain object, but for the one in google.protobuf.Value.
    if (desc.typeName === "google.protobuf.Struct" && field.parent?.typeName !== "google.protobuf.Value") {
      return readPlainObject;
    }
    const expected = canonical.get(desc.typeName);
    return expected === undefined ? messageReader(desc) : canonicalReader(desc, registry, expected);
  };
  return {
    field(field) {
      if (field.fieldKind === "list") return listReader(single(field));
      if (field.fieldKind === "map") return mapReader(field.mapKey, single(field));
      return single(field);
    },
    element: single,
  };
}

// Their canonical form is what anyone would write by hand.
const canonical = new Map([
  ["google.protobuf.Timestamp", "a time such as 2026-01-31T12:00:00Z"],
  ["google.protobuf.Duration", "a duration in seconds such as 1.5s"],
  ["google.protobuf.FieldMask", "field names joined by commas"],
  ["google.protobuf.Any", "an object with the type's URL as @type"],
  ["google.protobuf.Struct", "an object"],
  ["google.protobuf.Value", "a value"],
  ["google.protobuf.ListValue", "a list"],
]);

function canonicalReader(desc: DescMessage, registry: Registry, expected: string): ValueReader {
  return (cursor) => {
    const source = captureValue(cursor);
    try {
      return fromJson(desc, JSON.parse(source) as JsonValue, { registry, ignoreUnknownFields: true });
    } catch {
      throw new JsonFault(`expected ${expected}`);
    }
  };
}

function readPlainObject(cursor: Cursor): unknown {
  if (peek(cursor) !== 0x7b) throw unexpected(cursor, "an object");
  return JSON.parse(captureValue(cursor));
}

function listReader(read: ValueReader): ValueReader {
  return (cursor) => {
    const list: unknown[] = [];
    if (!enterList(cursor)) return list;
    try {
      do list.push(read(cursor));
      while (nextElement(cursor));
    } catch (cause) {
      throw faultWithin(`[${list.length}]`, cause);
    }
    return list;
  };
}

function mapReader(keyType: ScalarType, read: ValueReader): ValueReader {
  return (cursor) => {
    const map: Record<string, unknown> = {};
    if (!enterObject(cursor)) return map;
    let name = "";
    try {
      do {
        name = readName(cursor);
        const key = mapKeyFrom(name, keyType);
        const value = read(cursor);
        // Assigning this one would set the prototype instead.
        if (key !== "__proto__") map[key] = value;
        else Object.defineProperty(map, key, { value, writable: true, enumerable: true, configurable: true });
      } while (nextMember(cursor));
    } catch (cause) {
      throw faultWithin(name, cause);
    }
    return map;
  };
}

function mapKeyFrom(name: string, type: ScalarType): string {
  if (type === ScalarType.STRING) return name;
  if (type !== ScalarType.BOOL) return `${integerFrom(name, type)}`;
  if (name !== "true" && name !== "false") throw new JsonFault(`expected a key true or false, got ${quoted(name)}`);
  return name;
}

function enumReader(desc: DescEnum, unknownAsZero: boolean): ValueReader {
  if (desc.typeName === "google.protobuf.NullValue") {
    return (cursor) => {
      captureValue(cursor);
      return 0;
    };
  }
  const spellings = spellingsOf(desc);
  const zero = desc.values[0]?.number ?? 0;
  const unknown = (given: string): number => {
    if (unknownAsZero) return zero;
    throw new JsonFault(`${given} is none of ${spellings.written.join(", ")}`);
  };
  return (cursor) => {
    if (peek(cursor) !== quote) {
      const source = readNumber(cursor);
      const value = Number(source);
      return spellings.has(value) ? value : unknown(short(source));
    }
    const spelling = readString(cursor);
    const value = spellings.find(spelling);
    if (value !== undefined) return value;
    const number = /^-?\d{1,10}$/.test(spelling) ? Number(spelling) : undefined;
    return number !== undefined && spellings.has(number) ? number : unknown(quoted(spelling));
  };
}

function scalarReader(field: DescField): ValueReader {
  const { scalar } = field;
  switch (scalar) {
    case ScalarType.STRING:
      return stringReader();
    case ScalarType.BOOL:
      return readBoolean;
    case ScalarType.BYTES:
      return (cursor) => bytesFrom(readString(cursor));
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return (cursor) => floatFrom(readNumberOrString(cursor), scalar);
    default: {
      const type = scalar ?? ScalarType.INT32;
      const read = (cursor: Cursor) => {
        const short = readShortInteger(cursor);
        return Number.isNaN(short) ? integerFrom(readNumberOrString(cursor), type) : integerOf(short, type);
      };
      return "longAsString" in field && field.longAsString ? (cursor) => `${read(cursor)}` : read;
    }
  }
}

/** Reads strings, of which those in the elements of a list are often all the same. */
function stringReader(): ValueReader {
  let last = "";
  let lastInQuotes = "";
  return (cursor) => {
    if (lastInQuotes !== "" && skipText(cursor, lastInQuotes)) return last;
    peek(cursor);
    const start = cursor.at;
    const value = readString(cursor);
    // One that is short costs nothing; one that is long may be a secret, and is not kept. It must stand for itself.
    if (value.length > 12 && value.length <= 32 && cursor.at - start === value.length + 2) {
      last = value;
      lastInQuotes = `"${value}"`;
    }
    return value;
  };
}

function readNumberOrString(cursor: Cursor): string {
  return peek(cursor) === quote ? readString(cursor) : readNumber(cursor);
}

// Both alphabets, padded or not, but nothing else: Buffer would skip what it does not know.
const base64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

function bytesFrom(text: string): Uint8Array {
  if (!base64.test(text) || text.replace(/=+$/, "").length % 4 === 1) throw new JsonFault("expected bytes in base64");
  return new Uint8Array(Buffer.from(text, "base64"));
}

const quote = 0x22;
