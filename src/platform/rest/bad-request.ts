import { Code } from "@connectrpc/connect";
import { PublicError } from "../rpc/public-error.ts";
import type { Sentences } from "./binding.ts";

/** A parameter of path or query is not what the field takes. */
export function badParameter(name: string, cause: string): PublicError {
  return new PublicError(`${name}: ${cause}`, Code.InvalidArgument);
}

/** The body is not what the codec says. */
export function malformedBody(sentences: Sentences, cause: string): PublicError {
  return new PublicError(filled(sentences.malformedBody, cause), Code.InvalidArgument);
}

/** The body, or one message of it, is larger than the route takes. */
export function tooLarge(sentences: Sentences, limitBytes: number): PublicError {
  const sentence = filled(sentences.tooLarge, `${limitBytes} bytes`);
  return new PublicError(sentence, Code.ResourceExhausted, { httpStatus: 413, machineCode: "PAYLOAD_TOO_LARGE" });
}

/** The body comes with another content type, or encoding, than the route takes. */
export function wrongContentType(sentences: Sentences, wanted: string): PublicError {
  const sentence = filled(sentences.wrongContentType, wanted);
  return new PublicError(sentence, Code.InvalidArgument, { httpStatus: 415, machineCode: "UNSUPPORTED_MEDIA_TYPE" });
}

/** A sentence with its cause put in. */
export function filled(sentence: string, cause: string): string {
  return sentence.replaceAll("{cause}", () => cause);
}
