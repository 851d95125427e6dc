import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { type Entry, openPromise } from "yauzl";
import { mebibytes } from "./progress.ts";

/** Options of {@link unpack}. */
export interface UnpackOptions {
  /** The path of a zip archive. */
  archive: string;
  /** An empty directory. It is left behind half full when unpacking fails. */
  directory: string;
  /** What is taken out, by name. The first must be there and becomes executable; everything else is left in. */
  files: readonly [string, ...string[]];
  /** The most bytes that one file may have, unpacked. */
  maxFileBytes: number;
}

/** An archive is broken, or holds what no honest one does. */
export class ArchiveRefused extends Error {
  override readonly name = "ArchiveRefused";
}

const maxEntries = 1_000;
const typeMask = 0o170000;
const regularFile = 0o100000;
const plainDirectory = 0o040000;

/**
 * Takes files out of a zip archive. An archive with an entry that leads out of the directory
 * (`../`, absolute names), or that is a link or a device, is refused whole, even where that entry is not asked for.
 *
 * @throws ArchiveRefused
 */
export async function unpack(options: UnpackOptions): Promise<void> {
  const [program] = options.files;
  const taken = new Set<string>();
  try {
    // The library refuses names that lead out, and bytes beyond the size that an entry announces.
    const zip = await openPromise(options.archive, { lazyEntries: true, strictFileNames: true });
    for await (const entry of zip.eachEntry()) {
      if (zip.entryCount > maxEntries) throw new ArchiveRefused(`it has ${zip.entryCount} entries`);
      judge(entry);
      if (!options.files.includes(entry.fileName)) continue;
      if (entry.uncompressedSize > options.maxFileBytes)
        throw new ArchiveRefused(`${entry.fileName} is larger than the limit of ${mebibytes(options.maxFileBytes)}`);
      const file = await open(
        join(options.directory, entry.fileName),
        "wx",
        entry.fileName === program ? 0o755 : 0o644,
      );
      await copy(await zip.openReadStreamPromise(entry), file);
      taken.add(entry.fileName);
    }
  } catch (error) {
    if (error instanceof ArchiveRefused) throw error;
    throw new ArchiveRefused(error instanceof Error ? error.message : String(error), { cause: error });
  }
  if (!taken.has(program)) throw new ArchiveRefused(`it has no ${program}`);
}

function judge(entry: Entry): void {
  const type = (entry.externalFileAttributes >>> 16) & typeMask;
  // Archives that were made on Windows say nothing about the type.
  if (type !== 0 && type !== regularFile && type !== plainDirectory)
    throw new ArchiveRefused(`${JSON.stringify(entry.fileName)} is neither a file nor a directory`);
}

async function copy(from: Readable, to: FileHandle): Promise<void> {
  try {
    for await (const chunk of from) await to.writeFile(chunk);
  } finally {
    await to.close();
  }
}
