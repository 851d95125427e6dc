import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { download } from "../engines/install/download.ts";
import type { Progress } from "../engines/install/progress.ts";
import { DigestRefused } from "./situations.ts";

const maxBytes = 64 * 1024;

/**
 * The SHA-256, lower-case hex, that a digest file tells. It guards against what is damaged, cut off or mixed up; who may
 * write to the mirror may write both.
 *
 * @throws DownloadFailed, DigestRefused
 */
export async function digestAt(url: string, signal: AbortSignal, progress: Progress): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "garrison-digest-"));
  try {
    const file = join(directory, "digest");
    await download({ url, file, maxBytes, signal, progress });
    const sha256 = readDigest(await readFile(file, "latin1"));
    if (sha256 === undefined) throw new DigestRefused(`${url} names no SHA-256`);
    return sha256;
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Reads what `openssl dgst` (`SHA2-256= …`) or `sha256sum` (`…  name`) have written; the first that there is. */
export function readDigest(text: string): string | undefined {
  const [, named, plain] = /^(?:SHA(?:2-)?256\b[^=\n]*=\s*([0-9a-f]{64})|([0-9a-f]{64})(?=\s|$)).*$/im.exec(text) ?? [];
  return (named ?? plain)?.toLowerCase();
}
