import { readFile, rm } from "node:fs/promises";
import { wrongValue } from "../platform/config/variables.ts";
import { keepFirst } from "../platform/files/keep-first.ts";
import { hashOf, isCredential, makeCredential } from "./domain/hashed-secret.ts";

/** The file of the first operator's key holds something else. The message names the file and what would be right. */
class UnusableAdminKey extends Error {
  override readonly name = "UnusableAdminKey";
}

/** What is asked of a store, which all replicas share. */
export interface FirstOperatorStore {
  /** There is an operator's key, or was. */
  hasOperator(): Promise<boolean>;
  /** Adds a key that may do everything, by its hash, only if there was never one. False when there was. */
  addFirst(hash: Uint8Array, at: number): Promise<boolean>;
}

/** Options of {@link ensureFirstOperator}. */
export interface FirstOperatorOptions {
  store: FirstOperatorStore;
  /** Where the key is, or is kept: mode 0600. */
  file: string;
  /** Milliseconds since 1970. */
  now: () => number;
}

/**
 * Sees to it that somebody can call Core: while its database knows no operator's key, the one in the file becomes the
 * first, and is made where there is none. Replicas that start together make one.
 *
 * @returns the key, where it was made just now and has to be shown once
 * @throws UnusableAdminKey
 */
export async function ensureFirstOperator({ store, file, now }: FirstOperatorOptions): Promise<string | undefined> {
  if (await store.hasOperator()) return undefined;
  const { text } = makeCredential("ok_");
  const made = await keepFirst(file, text);
  const key = made ? text : await readKey(file);
  const isFirst = await store.addFirst(hashOf(key), now());
  if (made && !isFirst) await rm(file, { force: true }); // another replica was faster, and this key opens nothing
  return made && isFirst ? text : undefined;
}

async function readKey(file: string): Promise<string> {
  const text = (await readFile(file, "utf8")).trim();
  if (isCredential("ok_", text)) return text;
  throw new UnusableAdminKey(
    wrongValue(file, text, "must hold an API key, `ok_` and 43 characters; or remove it and Core makes one", true),
  );
}
