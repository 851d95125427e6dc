import { createHash, randomBytes } from "node:crypto";

/**
 * All that an agent needs to enrol: where Core is, what lets it in, and by what it knows that it talks to Core.
 *
 * As one string it is `gc1_` and, in base64url without padding, these bytes: 16 random ones, which are the secret; the
 * length of a digest, 32 or 0; the digest, SHA-256 of the certificate of Core's authority; the URLs in UTF-8 with
 * blanks between them; and the first 4 bytes of the SHA-256 of all of that, which tell a string that was cut or
 * mistyped.
 */
export interface EnrolmentCode {
  /** What Core knows it by: 22 characters of base64url, 128 random bits. */
  readonly secret: string;
  /** Where Core is reached, best first: scheme and host, and the port where it is not the usual one. At least one. */
  readonly urls: readonly string[];
  /** SHA-256 of the certificate of Core's authority, in lower-case hex. Undefined: the machine's own authorities count. */
  readonly caSha256: string | undefined;
}

/** The text is no enrolment code. The message says what is wrong, and never quotes it. */
export class MalformedEnrolmentCode extends Error {
  override readonly name = "MalformedEnrolmentCode";
}

/** A URL speaks plain text to another machine. */
export class PlainTextRefused extends Error {
  override readonly name = "PlainTextRefused";

  constructor(url: string) {
    super(
      `${url} speaks plain text: it must begin with https://, unless CORE_INSECURE is on or it stays on this machine`,
    );
  }
}

const prefix = "gc1_";
const secretBytes = 16;
const digestBytes = 32;
const checkBytes = 4;

/** A new secret. */
export function makeEnrolmentSecret(): string {
  return randomBytes(secretBytes).toString("base64url");
}

/** The one string. */
export function writeEnrolmentCode({ secret, urls, caSha256 = "" }: EnrolmentCode): string {
  const digest = Buffer.from(caSha256, "hex");
  const content = Buffer.concat([
    Buffer.from(secret, "base64url"),
    Buffer.of(digest.length),
    digest,
    Buffer.from(urls.join(" ")),
  ]);
  return `${prefix}${Buffer.concat([content, checkOf(content)]).toString("base64url")}`;
}

/**
 * Reads the one string; white space around it and within it, as from a wrapped line, does not count.
 *
 * @throws MalformedEnrolmentCode
 */
export function readEnrolmentCode(text: string): EnrolmentCode {
  const packed = text.replaceAll(/\s/g, "");
  if (!packed.startsWith(prefix)) throw new MalformedEnrolmentCode(`an enrolment code begins with ${prefix}`);
  if (!/^[\w-]*$/.test(packed)) throw new MalformedEnrolmentCode("the enrolment code has characters that none has");
  const bytes = Buffer.from(packed.slice(prefix.length), "base64url");
  const content = bytes.subarray(0, -checkBytes);
  const isWhole = `${prefix}${bytes.toString("base64url")}` === packed; // the decoder forgives too much
  if (!isWhole || !checkOf(content).equals(bytes.subarray(-checkBytes)))
    throw new MalformedEnrolmentCode("the enrolment code is not complete, or mistyped: copy it again");
  const length = content[secretBytes] ?? -1;
  const urlsAt = secretBytes + 1 + length;
  const urls = content.subarray(urlsAt).toString().split(" ");
  if (![0, digestBytes].includes(length) || !urls.every(isBaseUrl))
    throw new MalformedEnrolmentCode("the enrolment code is one of a version that is not known here");
  return {
    secret: content.subarray(0, secretBytes).toString("base64url"),
    urls,
    caSha256: length === 0 ? undefined : content.subarray(secretBytes + 1, urlsAt).toString("hex"),
  };
}

/**
 * The secret in what an agent sends as its code: it may know the format, or hand on the whole string as it got it.
 * Undefined when it is neither.
 */
export function secretOf(code: string): string | undefined {
  if (/^[\w-]{22}$/.test(code)) return code;
  try {
    return readEnrolmentCode(code).secret;
  } catch (error) {
    if (error instanceof MalformedEnrolmentCode) return undefined;
    throw error;
  }
}

/**
 * Refuses URLs that would carry keys over a network in plain text.
 *
 * @param insecure it was allowed by name
 * @throws PlainTextRefused
 */
export function refusePlainText(urls: readonly string[], insecure: boolean): void {
  const plain = urls.find((url) => !isProtected(new URL(url)));
  if (plain !== undefined && !insecure) throw new PlainTextRefused(plain);
}

function isProtected({ protocol, hostname }: URL): boolean {
  return protocol === "https:" || hostname === "localhost" || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
}

function isBaseUrl(text: string): boolean {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) return false;
  const { origin, username, password } = new URL(text);
  return origin === text && `${username}${password}` === "";
}

function checkOf(content: Uint8Array): Buffer {
  return createHash("sha256").update(content).digest().subarray(0, checkBytes);
}
