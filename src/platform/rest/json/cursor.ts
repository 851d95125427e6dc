import { JsonFault } from "./json-fault.ts";

/**
 * A place in a JSON text. Reading through a cursor, instead of parsing to objects first, keeps what objects lose: the
 * exact digits of numbers, the source of an embedded document, and two names for one field.
 */
export interface Cursor {
  readonly text: string;
  at: number;
  depth: number;
}

/** How deep objects and lists may lie in one another; as in Protocol Buffers. */
const maxDepth = 100;

/** A cursor at the beginning of a text. */
export function openCursor(text: string): Cursor {
  return { text, at: 0, depth: 0 };
}

/** The code of the next character that is no white space; NaN at the end. The cursor stands on it. */
export function peek(cursor: Cursor): number {
  const { text } = cursor;
  let { at } = cursor;
  let code = text.charCodeAt(at);
  while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
    at += 1;
    code = text.charCodeAt(at);
  }
  cursor.at = at;
  return code;
}

/** Nothing but white space may follow. */
export function expectEnd(cursor: Cursor): void {
  if (!Number.isNaN(peek(cursor))) throw unexpected(cursor, "the end");
}

/** Enters an object; false when it is empty and was left again. */
export function enterObject(cursor: Cursor): boolean {
  return enter(cursor, openBrace, closeBrace, "an object");
}

/** Enters a list; false when it is empty and was left again. */
export function enterList(cursor: Cursor): boolean {
  return enter(cursor, openBracket, closeBracket, "a list");
}

/** After a member: true when another one follows, false when the object was left. */
export function nextMember(cursor: Cursor): boolean {
  return next(cursor, closeBrace, "`,` or `}`");
}

/** After an element: true when another one follows, false when the list was left. */
export function nextElement(cursor: Cursor): boolean {
  return next(cursor, closeBracket, "`,` or `]`");
}

/** Reads a member's name and the colon after it. */
export function readName(cursor: Cursor): string {
  if (peek(cursor) !== quote) throw unexpected(cursor, "a member's name in quotes");
  const start = cursor.at;
  const plainEnd = endOfPlainString(cursor, longestPlainName);
  const end = plainEnd ?? endOfString(cursor);
  const { text } = cursor;
  cursor.at = end;
  if (peek(cursor) !== colon) throw unexpected(cursor, "`:`");
  cursor.at += 1;
  return plainEnd === undefined ? parseString(text.slice(start, end)) : text.slice(start + 1, end - 1);
}

/**
 * Reads exactly this text, such as a name with its quotes and colon, when it is next. Whether what is next means the same
 * in other words is not looked at.
 */
export function skipText(cursor: Cursor, expected: string): boolean {
  peek(cursor);
  if (!cursor.text.startsWith(expected, cursor.at)) return false;
  cursor.at += expected.length;
  return true;
}

/** Reads a string. */
export function readString(cursor: Cursor): string {
  if (peek(cursor) !== quote) throw unexpected(cursor, "a string");
  const start = cursor.at;
  const { text } = cursor;
  const plainEnd = endOfPlainString(cursor, longestCopiedSlice);
  const end = plainEnd ?? endOfString(cursor);
  cursor.at = end;
  return plainEnd === undefined ? parseString(text.slice(start, end)) : text.slice(start + 1, end - 1);
}

/** Reads a number and returns it as it is written. */
export function readNumber(cursor: Cursor): string {
  peek(cursor);
  numberAt.lastIndex = cursor.at;
  const source = numberAt.exec(cursor.text)?.[0];
  if (source === undefined) {
    throw cursor.text[cursor.at] === "-" ? new JsonFault("a `-` without digits") : unexpected(cursor, "a number");
  }
  cursor.at += source.length;
  return source;
}

/**
 * Reads an integer that is written as one, with at most 15 digits, as most are. NaN, with nothing read, when anything
 * else is next.
 */
export function readShortInteger(cursor: Cursor): number {
  const isNegative = peek(cursor) === minus;
  const { text } = cursor;
  const start = isNegative ? cursor.at + 1 : cursor.at;
  let at = start;
  let value = 0;
  let code = text.charCodeAt(at);
  while (code >= digit0 && code <= digit9 && at - start < longestShortInteger) {
    value = value * 10 + (code - digit0);
    at += 1;
    code = text.charCodeAt(at);
  }
  const startsWithZero = text.charCodeAt(start) === digit0 && at - start > 1;
  const goesOn = (code >= digit0 && code <= digit9) || code === point || code === smallE || code === largeE;
  if (at === start || startsWithZero || goesOn) return Number.NaN;
  cursor.at = at;
  return isNegative && value !== 0 ? -value : value;
}

/** Reads `true` or `false`. */
export function readBoolean(cursor: Cursor): boolean {
  if (skipText(cursor, "true")) return true;
  if (skipText(cursor, "false")) return false;
  throw unexpected(cursor, "true or false");
}

/** Reads `null` when it is next. */
export function skipNull(cursor: Cursor): boolean {
  return peek(cursor) === letterN && skipText(cursor, "null");
}

/** Reads any value and returns it as it is written. */
export function captureValue(cursor: Cursor): string {
  peek(cursor);
  const start = cursor.at;
  skipValue(cursor);
  return cursor.text.slice(start, cursor.at);
}

/** Reads past any value. */
export function skipValue(cursor: Cursor): void {
  switch (peek(cursor)) {
    case openBrace:
      if (enterObject(cursor)) {
        do {
          readName(cursor);
          skipValue(cursor);
        } while (nextMember(cursor));
      }
      return;
    case openBracket:
      if (enterList(cursor)) {
        do skipValue(cursor);
        while (nextElement(cursor));
      }
      return;
    case quote:
      readString(cursor);
      return;
    default:
      if (skipNull(cursor) || skipText(cursor, "true") || skipText(cursor, "false")) return;
      readNumber(cursor);
  }
}

/** What stands at the cursor instead of what was expected. */
export function unexpected(cursor: Cursor, expected: string): JsonFault {
  const code = peek(cursor);
  if (Number.isNaN(code)) return new JsonFault(`expected ${expected}, but the text ends`);
  const kind = kindOf(code);
  if (kind !== undefined) return new JsonFault(`expected ${expected}, got ${kind}`);
  return new JsonFault(
    `expected ${expected} at character ${cursor.at + 1}, got ${JSON.stringify(cursor.text[cursor.at])}`,
  );
}

const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const quote = 0x22;
const backslash = 0x5c;
const colon = 0x3a;
const comma = 0x2c;
const letterN = 0x6e;
const minus = 0x2d;
const point = 0x2e;
const digit0 = 0x30;
const digit9 = 0x39;
const smallE = 0x65;
const largeE = 0x45;
// All integers of as many digits are exact.
const longestShortInteger = 15;
const numberAt = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const longestPlainName = 64;
// V8 copies slices up to it. A longer one keeps the whole text alive for as long as it lives itself, so that those are
// left to the parser, which makes strings of their own.
const longestCopiedSlice = 12;

function kindOf(code: number): string | undefined {
  if (code === openBrace) return "an object";
  if (code === openBracket) return "a list";
  if (code === quote) return "a string";
  if (code === minus || (code >= digit0 && code <= digit9)) return "a number";
  if (code === letterN) return "null";
  if (code === 0x74 || code === 0x66) return "true or false";
  return undefined;
}

function enter(cursor: Cursor, open: number, close: number, kind: string): boolean {
  if (peek(cursor) !== open) throw unexpected(cursor, kind);
  cursor.at += 1;
  if (peek(cursor) === close) {
    cursor.at += 1;
    return false;
  }
  cursor.depth += 1;
  if (cursor.depth > maxDepth) throw new JsonFault(`objects and lists lie more than ${maxDepth} deep`);
  return true;
}

function next(cursor: Cursor, close: number, expected: string): boolean {
  const code = peek(cursor);
  if (code !== comma && code !== close) throw unexpected(cursor, expected);
  cursor.at += 1;
  if (code === comma) return true;
  cursor.depth -= 1;
  return false;
}

/** Where the string that begins at the cursor ends, when it is short and stands for itself. */
function endOfPlainString({ text, at }: Cursor, longest: number): number | undefined {
  for (let index = at + 1; index <= at + 1 + longest; index += 1) {
    const code = text.charCodeAt(index);
    if (code === quote) return index + 1;
    if (!(code >= 0x20) || code === backslash) return undefined; // NaN at the end of the text
  }
  return undefined;
}

/** Where the string that begins at the cursor ends, after its closing quote. */
function endOfString({ text, at }: Cursor): number {
  let end = text.indexOf('"', at + 1);
  while (end !== -1) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === backslash) slashes += 1;
    if (slashes % 2 === 0) return end + 1;
    end = text.indexOf('"', end + 1);
  }
  throw new JsonFault("a string has no end");
}

function parseString(source: string): string {
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch {
    throw new JsonFault("a string has an escape or a control character that JSON does not know");
  }
  if (typeof value !== "string" || !value.isWellFormed()) throw new JsonFault("a string has half a surrogate pair");
  return value;
}
