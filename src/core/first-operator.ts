import { readFile, unlink } from "node:fs/promises";
import { wrongValue } from "../platform/config/variables.ts";
import { isErrno } from "../platform/errno.ts";
import { keepFirst } from "../platform/files/keep-first.ts";
import { isCredential, makeCredential } from "./domain/hashed-secret.ts";
import { firstOperatorKey, type OperatorKeyStore } from "./domain/operator-keys.ts";

/** The file of the first operator's key holds something else. The message names the file and what would be right. */
class UnusableAdminKey extends Error {
  override readonly name = "UnusableAdminKey";
}

/** Options of {@link ensureFirstOperator}. */
export interface FirstOperatorOptions {
  store: OperatorKeyStore;
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
  if ((await store.list()).length > 0) return undefined;
  const { text } = makeCredential("ok_");
  const made = await keepFirst(file, text);
  const key = made ? text : await readKey(file);
  const isFirst = await store.addFirst(firstOperatorKey(key, now()));
  if (made && !isFirst) await forget(file); // another replica was faster, and this key opens nothing
  return made && isFirst ? text : undefined;
}

async function readKey(file: string): Promise<string> {
  const text = (await readFile(file, "utf8")).trim();
  if (isCredential("ok_", text)) return text;
  throw new UnusableAdminKey(
    wrongValue(file, text, "must hold an API key, `ok_` and 43 characters; or remove it and Core makes one", true),
  );
}

async function forget(file: string): Promise<void> {
  await unlink(file).catch((error: unknown) => {
    if (!isErrno(error, "ENOENT")) throw error;
  });
}
