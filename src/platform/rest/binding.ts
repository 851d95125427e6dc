import type { DescField, DescMethod } from "@bufbuild/protobuf";
import type { PathTemplate } from "./path-template.ts";

/** A REST route of an RPC: what the contract says of it, with what it leaves to its API filled in, and found valid. */
export interface RestBinding {
  readonly method: DescMethod;
  readonly verb: Verb;
  readonly path: PathTemplate;
  /** What each variable of the path names. */
  readonly pathFields: readonly FieldPath[];
  /** What the body holds: nothing, the whole request, or one field of it. */
  readonly body: "none" | "all" | DescField;
  readonly codec: Codec;
  readonly contentTypeRequired: boolean;
  /** Of the body, or of one message of a delimited one. */
  readonly bodyLimitBytes: number;
  /** Of a delimited body as a whole. */
  readonly streamLimitBytes: number;
  /** The repeated field that a JSON array is read as. */
  readonly arrayBody: DescField | undefined;
  readonly quotedBody: boolean;
  /** A streamed request comes as delimited messages; otherwise as the one message that the body is. */
  readonly delimitedRequest: boolean;
  /** The one field that is sent instead of the response. */
  readonly responseBody: DescField | undefined;
  readonly envelope: Envelope;
  /** Fields that are sent beside `data`. */
  readonly beside: readonly DescField[];
  readonly emitDefaults: boolean;
  readonly successStatus: number;
  /** How a streamed response is framed. Absent for one message. */
  readonly responseFraming: Framing | undefined;
  readonly eventField: DescField | undefined;
  readonly eventIdField: DescField | undefined;
  /** The answer is a text. */
  readonly feed: TextFeed | undefined;
  readonly etag: boolean;
  readonly cacheControl: string | undefined;
  readonly errors: ErrorStyle;
  readonly summary: string;
}

/** A text in place of the response. */
export interface TextFeed {
  /** What holds it. */
  readonly field: DescField;
  readonly contentType: string;
  /** What tells another content type. */
  readonly contentTypeField: DescField | undefined;
}

/** From the request to the field that is meant, by the messages between. */
export type FieldPath = readonly [DescField, ...DescField[]];

type Verb = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
type Codec = "json" | "protobuf";
type Envelope = "bare" | "ok_data";
type Framing = "sse" | "lines" | "delimited";

/** How an API words its errors. */
export interface ErrorStyle {
  readonly form: "json" | "text" | "detail";
  /** The HTTP status of an error that nobody foresaw. */
  readonly internalStatus: number;
  readonly sentences: Sentences;
}

/** The wording of errors that are found before a handler is asked; `{cause}` stands for what exactly was wrong. */
export type Sentences = Readonly<Record<SentenceName, string>>;

export type SentenceName = keyof typeof ownSentences;

/** The adapter's own words. */
export const ownSentences = {
  malformedBody: "the body is malformed: {cause}",
  malformedLength: "the length before a message is malformed: {cause}",
  truncatedMessage: "the body ends within a message: {cause}",
  malformedMessage: "a message of the body is malformed: {cause}",
  notFound: "nothing is at this path",
  methodNotAllowed: "this path is called with {cause}",
  tooLarge: "the body is too large: at most {cause}",
  wrongContentType: "the body must be {cause}",
  internal: "internal error",
} as const;
