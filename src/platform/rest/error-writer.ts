import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { httpStatusOf, machineCodeOf, PublicError } from "../rpc/public-error.ts";
import { type ErrorStyle, ownSentences } from "./binding.ts";
import type { Writers } from "./json/writer.ts";

/** An error as an answer. */
export interface WrittenError {
  readonly status: number;
  /** Names in lower case. */
  readonly header: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Writes an error in the form of one API. Says nothing of errors that are not meant for the caller. */
export type ErrorWriter = (cause: unknown, requestId: string) => WrittenError;

/** Makes the writer of an API's errors. */
export function createErrorWriter(style: ErrorStyle, writers: Writers): ErrorWriter {
  return (cause, requestId) => {
    const shown = shownOf(cause, style);
    const header: Record<string, string> = cause instanceof ConnectError ? ownHeader(cause) : {};
    if (style.form === "text") {
      header["content-type"] = "text/plain; charset=utf-8";
      header["x-content-type-options"] = "nosniff";
      return { status: shown.status, header, body: shown.sentence === "" ? "" : `${shown.sentence}\n` };
    }
    header["content-type"] = "application/json; charset=utf-8";
    if (style.form === "detail") {
      return { status: shown.status, header, body: `{"detail":${JSON.stringify(shown.sentence)}}` };
    }
    const details = cause instanceof ConnectError ? detailsOf(cause, writers) : [];
    const id = requestId === "" ? "" : `,"request_id":${JSON.stringify(requestId)}`;
    const more = details.length === 0 ? "" : `,"details":[${details.join(",")}]`;
    const what = `"error":${JSON.stringify(shown.sentence)},"code":${JSON.stringify(shown.machineCode)}`;
    return { status: shown.status, header, body: `{"ok":false,${what}${id}${more}}` };
  };
}

interface Shown {
  readonly status: number;
  readonly sentence: string;
  readonly machineCode: string;
}

function shownOf(cause: unknown, { internalStatus, sentences }: ErrorStyle): Shown {
  if (cause instanceof PublicError) {
    const { httpStatus: status, rawMessage: sentence, machineCode } = cause;
    return { status, sentence, machineCode };
  }
  if (cause instanceof ConnectError && !isUnforeseen(cause)) {
    return { status: httpStatusOf(cause.code), sentence: cause.rawMessage, machineCode: machineCodeOf(cause.code) };
  }
  return { status: internalStatus, sentence: sentences.internal, machineCode: machineCodeOf(Code.Internal) };
}

// The outermost interceptor wraps what was not meant for the caller in such an error.
function isUnforeseen({ code, cause, rawMessage }: ConnectError): boolean {
  return code === Code.Internal && cause !== undefined && rawMessage === ownSentences.internal;
}

// An error that came from another server brings the header of that server's answer along.
const ofAnAnswer =
  /^(?:content-|grpc-|connect-|access-control-|x-request-id$|transfer-encoding$|trailer$|connection$|keep-alive$|date$|vary$|server$)/;

function ownHeader({ metadata }: ConnectError): Record<string, string> {
  return Object.fromEntries(Array.from(metadata).filter(([name]) => !ofAnAnswer.test(name)));
}

function detailsOf(error: ConnectError, writers: Writers): string[] {
  return error.details.flatMap((detail) => {
    if (!("desc" in detail)) return []; // came from another server: its type is not known here
    const written = writers.message(detail.desc)(create(detail.desc, detail.value));
    const type = `"@type":${JSON.stringify(detail.desc.typeName)}`;
    return [written === "{}" ? `{${type}}` : `{${type},${written.slice(1)}`];
  });
}
