import { create, type DescField, type DescMessage, type Message, type Registry } from "@bufbuild/protobuf";
import { createMessageMaker } from "../../message-maker.ts";
import { nextTurn } from "../../next-turn.ts";
import { BadContract } from "../bad-contract.ts";
import {
  type Cursor,
  enterList,
  enterObject,
  nextElement,
  nextMember,
  openCursor,
  readName,
  skipNull,
  skipText,
  skipValue,
} from "./cursor.ts";
import { faultWithin, JsonFault } from "./json-fault.ts";
import { type Fields, namesOf } from "./rules.ts";
import { createValueReaders, type ValueReader } from "./value-readers.ts";

/** Reads legacy JSON into messages. Every fault is a {@link JsonFault} that names the place. */
export interface Readers {
  /** Reads an object into a new message, or into the given one. */
  message(desc: DescMessage): MessageReader;
  /** As `message`, but its lists are read in slices between which others have their turn. */
  largeMessage(desc: DescMessage): (cursor: Cursor) => Promise<Message>;
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
  const messages = new Map<string, Members>();
  const membersOf = (desc: DescMessage): Members => {
    const known = messages.get(desc.typeName);
    if (known !== undefined) return known;
    const members: Members = { byName: new Map(), follower: undefined };
    // Known before its fields are compiled: a message may hold itself.
    messages.set(desc.typeName, members);
    for (const field of desc.fields) {
      const element = field.fieldKind === "list" ? values.element(field) : undefined;
      const member: Member = { field, read: readField(field), element, follower: undefined };
      for (const name of namesOf(field)) {
        const other = members.byName.get(name);
        if (other !== undefined) throw new BadContract([`${field}: ${other.field} is already read under "${name}"`]);
        members.byName.set(name, member);
      }
    }
    return members;
  };
  const message = (desc: DescMessage): MessageReader => {
    const members = membersOf(desc);
    const make = createMessageMaker(desc) ?? (() => create(desc));
    return (cursor, into = make()) => {
      readMembers(cursor, members, into);
      return into;
    };
  };
  const largeMessage = (desc: DescMessage) => {
    const members = membersOf(desc);
    return (cursor: Cursor) => readLargeMembers(cursor, members, create(desc));
  };
  const values = createValueReaders(registry, message);
  const readField = (field: DescField): FieldReader => compileField(field, values.field(field));
  return { message, largeMessage, field: readField };
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
  /** Reads an element, where it is a list. */
  readonly element: ValueReader | undefined;
}

function readMembers(cursor: Cursor, members: Members, message: Message): void {
  if (!enterObject(cursor)) return;
  const seen = new Seen();
  let before: Followed = members;
  do {
    const follower = readMemberName(cursor, members, before);
    if (follower === undefined) continue;
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

// The one above, but that it waits.
async function readLargeMembers(cursor: Cursor, members: Members, message: Message): Promise<Message> {
  if (!enterObject(cursor)) return message;
  const seen = new Seen();
  let before: Followed = members;
  do {
    const follower = readMemberName(cursor, members, before);
    if (follower === undefined) continue;
    const { name, member } = follower;
    before = member;
    try {
      if (!seen.add(member.field.number)) throw new JsonFault("the field is given twice");
      if (member.element === undefined) member.read(cursor, message);
      // By local name, as in compileField.
      else if (!skipNull(cursor)) {
        (message as unknown as Fields)[member.field.localName] = await readLargeList(cursor, member.element);
      }
    } catch (cause) {
      throw faultWithin(name, cause);
    }
  } while (nextMember(cursor));
  return message;
}

/** The member that is next, behind its colon. Undefined: there is no such field, and its value is skipped. */
function readMemberName(cursor: Cursor, members: Members, before: Followed): Followed["follower"] {
  const { follower } = before;
  if (follower !== undefined && skipText(cursor, follower.text)) return follower;
  const name = readName(cursor);
  const member = members.byName.get(name);
  if (member === undefined) {
    skipValue(cursor);
    return undefined;
  }
  before.follower = { text: `${JSON.stringify(name)}:`, name, member };
  return before.follower;
}

async function readLargeList(cursor: Cursor, read: ValueReader): Promise<unknown[]> {
  const list: unknown[] = [];
  if (!enterList(cursor)) return list;
  let pauseAt = cursor.at + sliceLength;
  try {
    do {
      list.push(read(cursor));
      if (cursor.at < pauseAt) continue;
      await nextTurn();
      pauseAt = cursor.at + sliceLength;
    } while (nextElement(cursor));
  } catch (cause) {
    throw faultWithin(`[${list.length}]`, cause);
  }
  return list;
}

// Characters: about a millisecond of work.
const sliceLength = 64 * 1024;

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
