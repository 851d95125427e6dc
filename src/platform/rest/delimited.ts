import { Code } from "@connectrpc/connect";
import { PublicError } from "../rpc/public-error.ts";
import { filled, tooLarge } from "./bad-request.ts";
import type { RestBinding } from "./binding.ts";

/**
 * Cuts a body into its messages, each of which comes behind its length as an unsigned LEB128 number. Messages of no
 * bytes are passed over. Memory is taken for what has arrived, never for what a length promises.
 */
export async function* cutDelimited(
  pieces: AsyncIterable<Uint8Array>,
  binding: RestBinding,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { errors, bodyLimitBytes, streamLimitBytes } = binding;
  const refuse = (sentence: string, cause: string) => new PublicError(filled(sentence, cause), Code.InvalidArgument);
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let wantedBytes = 1;
  let totalBytes = 0;
  for await (const piece of pieces) {
    totalBytes += piece.length;
    if (totalBytes > streamLimitBytes) throw tooLarge(errors.sentences, streamLimitBytes);
    waiting.push(piece);
    waitingBytes += piece.length;
    if (waitingBytes < wantedBytes) continue; // joined only when that completes something
    const bytes = waiting.length === 1 ? piece : Buffer.concat(waiting);
    let at = 0;
    for (;;) {
      const length = readLength(bytes, at);
      if (typeof length === "string") throw refuse(errors.sentences.malformedLength, length);
      if (length !== undefined && length.value > bodyLimitBytes) throw tooLarge(errors.sentences, bodyLimitBytes);
      const end = length === undefined ? undefined : length.end + length.value;
      if (end === undefined || end > bytes.length) {
        wantedBytes = end === undefined ? bytes.length - at + 1 : end - at;
        break;
      }
      if (length !== undefined && length.value > 0) yield bytes.subarray(length.end, end);
      at = end;
    }
    waiting = at === bytes.length ? [] : [bytes.subarray(at)];
    waitingBytes = bytes.length - at;
  }
  if (waitingBytes === 0) return;
  const [rest] = waiting;
  const isLengthCut = rest !== undefined && readLength(rest, 0) === undefined;
  const { malformedLength, truncatedMessage } = errors.sentences;
  throw refuse(isLengthCut ? malformedLength : truncatedMessage, "unexpected EOF");
}

/** A message behind its length. */
export function delimited(message: Uint8Array): Buffer {
  const head: number[] = [];
  let length = message.length;
  while (length > 0x7f) {
    head.push((length & 0x7f) | 0x80);
    length >>>= 7;
  }
  head.push(length);
  return Buffer.concat([Buffer.from(head), message]);
}

// No message of Protocol Buffers may be larger: a length above it is no length.
const maxMessageBytes = 2 ** 31 - 1;
const maxLengthBytes = 10;

/** A length, and where it ends. Undefined when it is cut off; what is wrong with it when it is none. */
function readLength(bytes: Uint8Array, start: number): { value: number; end: number } | string | undefined {
  let value = 0;
  for (let index = 0; index < maxLengthBytes; index += 1) {
    const byte = bytes[start + index];
    if (byte === undefined) return undefined;
    if (index === maxLengthBytes - 1 && byte > 1) break; // of 64 bits there is one left
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) {
      return value > maxMessageBytes ? `no message has ${value} bytes` : { value, end: start + index + 1 };
    }
  }
  return "varint overflows a 64-bit integer";
}
