import { isUtf8 } from "node:buffer";
import { create, type DescField, fromBinary, type Message } from "@bufbuild/protobuf";
import type { FastifyRequest } from "fastify";
import { largeBytes, readLarge } from "../rpc/read-large.ts";
import { malformedBody } from "./bad-request.ts";
import type { RestBinding } from "./binding.ts";
import { type Cursor, expectEnd, peek, readString } from "./json/cursor.ts";
import { JsonFault } from "./json/json-fault.ts";
import { openText, type Readers } from "./json/reader.ts";
import type { Fields } from "./json/rules.ts";
import { createPathReader, createQueryReader } from "./parameters.ts";

/**
 * Makes a request message of what HTTP has brought, of a large body in slices. Fails with InvalidArgument for what is
 * malformed.
 */
export type RequestReader = (request: FastifyRequest, body: Buffer | undefined) => Message | Promise<Message>;

/** Compiles the reader of a route's requests: body, then query, then path. */
export function createRequestReader(binding: RestBinding, readers: Readers): RequestReader {
  const { input } = binding.method;
  const readBody = binding.codec === "json" ? jsonBody(binding, readers) : protobufBody(binding);
  const readQuery = createQueryReader(binding, readers);
  const readPath = binding.pathFields.length > 0 ? createPathReader(binding, readers) : undefined;
  const complete = (message: Message, request: FastifyRequest) => {
    // The shapes that Fastify's router and query parser make.
    readQuery?.(request.query as Parameters<typeof readQuery>[0], message);
    readPath?.(request.params as Parameters<typeof readPath>[0], message);
    return message;
  };
  return (request, body) => {
    const message = body === undefined || body.length === 0 ? create(input) : readBody(body);
    return message instanceof Promise ? message.then((whole) => complete(whole, request)) : complete(message, request);
  };
}

type BodyReader = (body: Buffer) => Message | Promise<Message>;

function protobufBody({ method, body, errors }: RestBinding): BodyReader {
  const field = typeof body === "string" ? undefined : body;
  const malformed = (cause: unknown) =>
    malformedBody(errors.sentences, cause instanceof Error ? cause.message : String(cause));
  return (bytes) => {
    try {
      if (field === undefined && bytes.length >= largeBytes) {
        return readLarge(method.input, bytes).catch((cause) => Promise.reject(malformed(cause)));
      }
      if (field === undefined) return fromBinary(method.input, bytes);
      if (field.fieldKind !== "message") throw new TypeError(`${field} is a body, but no message`);
      return setField(create(method.input), field, fromBinary(field.message, bytes));
    } catch (cause) {
      throw malformed(cause);
    }
  };
}

function setField(message: Message, field: DescField, value: Message): Message {
  const fields = message as unknown as Fields; // by local name, which the descriptor knows
  if (field.oneof) fields[field.oneof.localName] = { case: field.localName, value };
  else fields[field.localName] = value;
  return message;
}

function jsonBody(binding: RestBinding, readers: Readers): BodyReader {
  const readText = jsonText(binding, readers);
  const { sentences } = binding.errors;
  const malformed = (cause: unknown) => (cause instanceof JsonFault ? malformedBody(sentences, cause.message) : cause);
  return (body) => {
    if (!isUtf8(body)) throw malformedBody(sentences, "it is not UTF-8");
    try {
      const message = readText(body.toString("utf8"), body.length >= largeBytes);
      return message instanceof Promise ? message.catch((cause) => Promise.reject(malformed(cause))) : message;
    } catch (cause) {
      throw malformed(cause);
    }
  };
}

function jsonText(
  binding: RestBinding,
  readers: Readers,
): (text: string, isLarge: boolean) => Message | Promise<Message> {
  const { input } = binding.method;
  const { body, arrayBody, quotedBody } = binding;
  const field = typeof body === "string" ? undefined : body;
  const readWhole = field === undefined ? readers.message(input) : undefined;
  const readLarge = field === undefined ? readers.largeMessage(input) : undefined;
  const readField = field && readers.field(field);
  const readArray = arrayBody && readers.field(arrayBody);
  const holder = field?.message ?? input;
  const ended = (cursor: Cursor, message: Message) => {
    expectEnd(cursor);
    return message;
  };
  return (text, isLarge) => {
    let cursor = openText(text);
    if (quotedBody && peek(cursor) === quote) {
      const inner = readString(cursor);
      expectEnd(cursor);
      cursor = openText(inner);
    }
    let message: Message;
    if (readArray && peek(cursor) === openBracket) {
      const held = create(holder);
      readArray(cursor, held);
      message = field === undefined ? held : setField(create(input), field, held);
    } else if (readLarge && isLarge) {
      return readLarge(cursor).then((whole) => ended(cursor, whole));
    } else if (readWhole) {
      message = readWhole(cursor);
    } else {
      message = create(input);
      readField?.(cursor, message);
    }
    return ended(cursor, message);
  };
}

const quote = 0x22;
const openBracket = 0x5b;
