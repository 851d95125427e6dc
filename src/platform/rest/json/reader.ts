import { create, type DescField, type DescMessage, type Message, type Registry } from "@bufbuild/protobuf";
import { BadContract } from "../bad-contract.ts";
import { type Cursor, enterObject, nextMember, openCursor, readName, skipNull, skipText, skipValue } from "./cursor.ts";
import { faultWithin, JsonFault } from "./json-fault.ts";
import { type Fields, namesOf } from "./rules.ts";
import { createValueReaders, type ValueReader } from "./value-readers.ts";

/** Reads legacy JSON into messages. Every fault is a {@link JsonFault} that names the place. */
export interface Readers {
  /** Reads an object into a new message, or into the given one. */
  message(desc: DescMessage): MessageReader;
  /** Reads the value of one field of a message. */
  field(field: DescField): FieldReader;
}

/** Reads an object into a message: a new one unless one is given. */
type MessageReader = (cursor: Cursor, into?: Message) => Message;

/** Reads a field's value into its message; `null` leaves it as it is. */
type FieldReader = (cursor: Cursor, message: Message) => void;

/**
 * Makes readers of legacy JSON, each compiled from a descriptor, once, into closures. They take numbers as numbers or
 * strings, exactly; enums in every spelling and any case; fields under every name; and ignore unknown fields.
 */
export function createReaders(registry: Registry): Readers {
  const messages = new Map<string, MessageReader>();
  const message = (desc: DescMessage): MessageReader => {
    const known = messages.get(desc.typeName);
    if (known !== undefined) return known;
    const members: Members = { byName: new Map(), follower: undefined };
    const read: MessageReader = (cursor, into = create(desc)) => {
      readMembers(cursor, members, into);
      return into;
    };
    // Known before its fields are compiled: a message may hold itself.
    messages.set(desc.typeName, read);
    for (const field of desc.fields) {
      const member: Member = { field, read: readField(field), follower: undefined };
      for (const name of namesOf(field)) {
        const other = members.byName.get(name);
        if (other !== undefined) throw new BadContract([`${field}: ${other.field} is already read under "${name}"`]);
        members.byName.set(name, member);
      }
    }
    return read;
  };
  const values = createValueReaders(registry, message);
  const readField = (field: DescField): FieldReader => compileField(field, values(field));
  return { message, field: readField };
}

/** Reads a whole text, which must hold nothing else. */
export function openText(text: string): Cursor {
  // Some editors and shells begin a text with a byte order mark.
  return openCursor(text.startsWith("\ufeff") ? text.slice(1) : text);
}

/** What follows the beginning of an object, or a member. */
interface Followed {
  /**
   * What came there the last time. Writers keep to an order, so that it mostly comes again, and need not be cut out of the
   * text and looked up.
   */
  follower: { readonly text: string; readonly name: string; readonly member: Member } | undefined;
}

interface Members extends Followed {
  readonly byName: Map<string, Member>;
}

interface Member extends Followed {
  readonly field: DescField;
  readonly read: FieldReader;
}

function readMembers(cursor: Cursor, members: Members, message: Message): void {
  if (!enterObject(cursor)) return;
  const seen = new Seen();
  let before: Followed = members;
  do {
    let { follower } = before;
    if (follower === undefined || !skipText(cursor, follower.text)) {
      const name = readName(cursor);
      const member = members.byName.get(name);
      if (member === undefined) {
        skipValue(cursor);
        continue;
      }
      follower = { text: `${JSON.stringify(name)}:`, name, member };
      before.follower = follower;
    }
    const { name, member } = follower;
    before = member;
    try {
      if (!seen.add(member.field.number)) throw new JsonFault("the field is given twice");
      member.read(cursor, message);
    } catch (cause) {
      throw faultWithin(name, cause);
    }
  } while (nextMember(cursor));
}

/** Field numbers that have occurred; the low ones, which is nearly all, without allocating. */
class Seen {
  #low = 0;
  #others: Set<number> | undefined;

  /** False when it has occurred before. */
  add(number: number): boolean {
    if (number < 32) {
      const bit = 1 << number;
      if ((this.#low & bit) !== 0) return false;
      this.#low |= bit;
      return true;
    }
    this.#others ??= new Set();
    if (this.#others.has(number)) return false;
    this.#others.add(number);
    return true;
  }
}

function compileField(field: DescField, read: ValueReader): FieldReader {
  const { localName } = field;
  // Only where null is a value of its own does it reach the reader of values.
  const isNullValue = field.message?.typeName === "google.protobuf.Value" && field.fieldKind === "message";
  if (field.oneof) {
    const oneof = field.oneof.localName;
    return (cursor, message) => {
      if (!isNullValue && skipNull(cursor)) return;
      const fields = message as unknown as Fields; // by local name, which the descriptor knows and the type does not
      const chosen = fields[oneof] as { case?: string }; // how a oneof lies in memory
      if (chosen.case !== undefined && chosen.case !== localName) {
        throw new JsonFault(
          `only one of ${field.oneof?.fields.map(({ jsonName }) => jsonName).join(", ")} can be given`,
        );
      }
      fields[oneof] = { case: localName, value: read(cursor) };
    };
  }
  return (cursor, message) => {
    if (!isNullValue && skipNull(cursor)) return;
    (message as unknown as Fields)[localName] = read(cursor); // as above
  };
}
