import { randomUUID } from "node:crypto";
import { readText } from "../../../platform/files/read-text.ts";
import { replaceFile } from "../../../platform/files/replace-file.ts";

/** What this node is to Core, and Core to it. It holds the node's key. */
export interface CoreIdentity {
  /** The node's id at Core. */
  readonly nodeId: number;
  readonly authKey: string;
  /** Where Core is reached, best first. */
  readonly urls: readonly string[];
  /** The certificate of Core's authority, PEM: whoever else answers is not Core. Undefined: the machine's own count. */
  readonly authority: string | undefined;
  /** Made when the node was installed: it tells the node from a copy of it. */
  readonly installId: string;
}

/** The kept identity cannot be used. The message says where it is, and what to do. */
class IdentityUnusable extends Error {
  override readonly name = "IdentityUnusable";
}

/** The identity that is kept in a file; undefined when the node has none. Throws {@link IdentityUnusable}. */
export async function readIdentity(path: string): Promise<CoreIdentity | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  const identity = parse(text);
  if (identity !== undefined) return identity;
  throw new IdentityUnusable(`${path} cannot be read as what Core knows this node by: remove it, and enrol again`);
}

/** Keeps an identity, for the eyes of this user only. */
export function keepIdentity(path: string, identity: CoreIdentity): Promise<void> {
  return replaceFile(path, `${JSON.stringify(identity)}\n`);
}

/**
 * The id that this installation has in a file, which is made when it is missing: before the node enrols, so that a
 * call whose answer was lost can be made again.
 */
export async function installIdAt(path: string): Promise<string> {
  const kept = (await readText(path))?.trim();
  if (kept) return kept;
  const made = randomUUID();
  await replaceFile(path, `${made}\n`);
  return made;
}

function parse(text: string): CoreIdentity | undefined {
  try {
    const { nodeId, authKey, urls, authority, installId }: Partial<CoreIdentity> = JSON.parse(text);
    const isWhole = typeof nodeId === "number" && typeof authKey === "string" && typeof installId === "string";
    if (!isWhole || !Array.isArray(urls) || !urls.every((url) => typeof url === "string")) return undefined;
    return { nodeId, authKey, urls, authority: typeof authority === "string" ? authority : undefined, installId };
  } catch {
    return undefined;
  }
}
