import { randomUUID } from "node:crypto";
import { chmod, readFile } from "node:fs/promises";
import { join } from "node:path";
import { wrongValue } from "../../platform/config/variables.ts";
import { isErrno } from "../../platform/errno.ts";
import { keepFirst } from "../../platform/files/keep-first.ts";

/** The 16 bytes of a UUID. */
export type ApiKey = Uint8Array;

/** A key that may be kept, and how it came about. */
export interface LoadedApiKey {
  readonly key: ApiKey;
  /** The key as text, where it was made just now and has to be shown once. */
  readonly made?: string;
}

/** Options of {@link loadApiKey}. */
export interface LoadApiKeyOptions {
  /** The value of `API_KEY`; undefined or blank when it is not set. */
  configured: string | undefined;
  /** Where a key that was made is kept, in a file `api-key` with mode 0600. */
  dataDir: string;
  /** Makes a UUID. Default: a random one. */
  makeUuid?: () => string;
}

/** The node's key is unusable. The message names where it stands, the value, and what would be right. */
export class UnusableApiKey extends Error {
  override readonly name = "UnusableApiKey";
}

/**
 * The key of the node: what `API_KEY` says, else the one that was made before, else a new one, which is kept.
 *
 * @throws UnusableApiKey when the value of `API_KEY` or the kept one is malformed or the nil UUID.
 */
export async function loadApiKey(options: LoadApiKeyOptions): Promise<LoadedApiKey> {
  const configured = options.configured?.trim();
  if (configured) return { key: usable(configured, "API_KEY", "leave it out and the node makes one") };
  const path = join(options.dataDir, "api-key");
  const kept = await readKept(path);
  if (kept !== undefined) return { key: usable(kept, path, "remove the file and the node makes one") };
  const text = (options.makeUuid ?? randomUUID)();
  if (await keepFirst(path, text)) return { key: usable(text, path, "make it random"), made: text };
  return loadApiKey(options); // another process was faster
}

/**
 * Reads a UUID in every spelling that clients send: 36 characters with hyphens, the same behind `urn:uuid:` or with one
 * character around it on each side (braces), or 32 hex digits; in any case. Undefined when it is none of them.
 */
export function parseUuid(text: string): ApiKey | undefined {
  const digits = /^[0-9a-f]{32}$/i.test(text) ? text : hyphenated(unwrapped(text));
  return digits === undefined ? undefined : Buffer.from(digits, "hex");
}

function unwrapped(text: string): string {
  if (text.length === 45 && /^urn:uuid:/i.test(text)) return text.slice(9);
  return text.length === 38 ? text.slice(1, -1) : text;
}

function hyphenated(text: string): string | undefined {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text) ? text.replaceAll("-", "") : undefined;
}

function usable(text: string, place: string, remedy: string): ApiKey {
  const key = parseUuid(text);
  const remedies = `as \`uuidgen\` makes it; or ${remedy}`;
  if (key === undefined) throw new UnusableApiKey(wrongValue(place, text, `must be a random UUID, ${remedies}`, true));
  if (key.some((byte) => byte !== 0)) return key;
  const open = "is the nil UUID, which would open the node to everyone: it must be a random one";
  throw new UnusableApiKey(wrongValue(place, text, `${open}, ${remedies}`, true));
}

async function readKept(path: string): Promise<string | undefined> {
  try {
    const text = await readFile(path, "utf8");
    await chmod(path, 0o600);
    return text.trim();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
