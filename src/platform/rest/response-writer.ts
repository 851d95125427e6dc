import { type DescField, type Message, toBinary } from "@bufbuild/protobuf";
import type { RestBinding } from "./binding.ts";
import { type Fields, spellingsOf } from "./json/rules.ts";
import type { Writers } from "./json/writer.ts";
import { contentTypes } from "./request-body.ts";

/** Writes a response message as the body of an answer. */
export interface ResponseWriter {
  contentTypeOf(message: Message): string;
  write(message: Message): string | Buffer;
}

/** Compiles the writer of a route's one response, or of what is sent of each message of its stream. */
export function createResponseWriter(binding: RestBinding, writers: Writers): ResponseWriter {
  const { output } = binding.method;
  const { feed, responseBody, beside } = binding;
  if (feed) {
    const { localName } = feed.field;
    const { contentType, contentTypeField } = feed;
    return {
      contentTypeOf: contentTypeField
        ? (message) => String(fieldsOf(message)[contentTypeField.localName] || contentType)
        : () => contentType,
      write: (message) => textOf(fieldsOf(message)[localName]),
    };
  }
  if (binding.codec === "protobuf") {
    const contentTypeOf = () => contentTypes.protobuf[0];
    if (responseBody?.fieldKind !== "message") {
      return { contentTypeOf, write: (message) => asBuffer(toBinary(output, message)) };
    }
    const { localName, message: desc } = responseBody;
    return {
      contentTypeOf,
      write(message) {
        const part = fieldsOf(message)[localName] as Message | undefined; // what such a field holds
        return part === undefined ? Buffer.alloc(0) : asBuffer(toBinary(desc, part));
      },
    };
  }
  const contentTypeOf = () => "application/json; charset=utf-8";
  if (binding.envelope === "bare") {
    return { contentTypeOf, write: responseBody ? writers.value(responseBody) : writers.message(output) };
  }
  const writeBeside = writers.members(beside);
  const writeRest = writers.members(output.fields.filter((field) => !beside.includes(field)));
  const writeData = responseBody ? writers.value(responseBody) : (message: Message) => `{${writeRest(message)}}`;
  return {
    contentTypeOf,
    write(message) {
      const others = writeBeside(message);
      return `{"ok":true,"data":${writeData(message)}${others === "" ? "" : `,${others}`}}`;
    },
  };
}

/** Compiles what takes a field of a message as plain text: a string, an integer, or the spelling of an enum. */
export function createTextReader(field: DescField): (message: Message) => string {
  const { localName } = field;
  if (!field.enum) return (message) => String(fieldsOf(message)[localName] ?? "");
  const spellings = spellingsOf(field.enum);
  return (message) => spellings.of(Number(fieldsOf(message)[localName] ?? 0)) ?? "";
}

// By local name, which the descriptor knows and the type does not.
function fieldsOf(message: Message): Fields {
  return message as unknown as Fields;
}

function textOf(value: unknown): string | Buffer {
  return value instanceof Uint8Array ? asBuffer(value) : String(value ?? "");
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
