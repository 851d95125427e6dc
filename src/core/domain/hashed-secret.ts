import { hash, randomBytes } from "node:crypto";

/** A secret that is told once, and what is kept of it. */
export interface MadeCredential {
  readonly text: string;
  readonly hash: Uint8Array;
}

/** What nodes' keys begin with, and operators'. */
export type CredentialPrefix = "nk_" | "ok_";

const secretBytes = 32;

/** Makes a credential of 256 random bits. */
export function makeCredential(prefix: CredentialPrefix): MadeCredential {
  const text = `${prefix}${randomBytes(secretBytes).toString("base64url")}`;
  return { text, hash: hashOf(text) };
}

/** Whether a text has the form of a credential: what has not is unknown, whoever asks. */
export function isCredential(prefix: CredentialPrefix, text: string): boolean {
  return text.startsWith(prefix) && text.length === prefix.length + 43 && /^[\w-]+$/.test(text);
}

/** What is kept of a credential or an enrolment code: its SHA-256. They are random, so that no salt is needed. */
export function hashOf(text: string): Buffer {
  return hash("sha256", text, "buffer");
}

/** The same in hexadecimal digits, at a third of the price: every call of a node asks for it. */
export function hexHashOf(text: string): string {
  return hash("sha256", text, "hex");
}
