import { link, open, readFile, rm, truncate } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { isErrno } from "../errno.ts";
import { type Draft, draftFile } from "./replace-file.ts";

/** A journal, and what stood in it. */
export interface OpenJournal {
  readonly journal: Journal;
  /** The base and what was added to it, in order. Empty when there is nothing, or nothing that can be read. */
  readonly records: readonly string[];
}

/**
 * A file of records that only this user can read: a base that is written at once and whole, and what was added to it
 * since. What was added outlives this process at once, and a power cut within a second. Whatever happens while it is
 * written, what is read later is what stood there at some moment: a record that was written in part counts as not
 * written, and where the file itself is damaged, the file before it counts, which is kept beside it as `<path>.before`.
 *
 * One process has it open, and does one thing at a time.
 */
export class Journal {
  readonly #path: string;
  /** Where the next record goes; 0: there is no base yet. */
  #end: number;
  #baseBytes: number;
  #syncing: NodeJS.Timeout | undefined;

  private constructor(path: string, { end, baseBytes }: Extent) {
    this.#path = path;
    this.#end = end;
    this.#baseBytes = baseBytes;
  }

  /** Opens a journal, whose directory exists. Throws the system's errors. */
  static async open(path: string): Promise<OpenJournal> {
    for (const candidate of [path, beforeOf(path)]) {
      const found = parse(await bytesOf(candidate));
      if (found === undefined) continue;
      const { records, extent } = found;
      if (candidate === path) {
        await truncate(path, extent.end);
        return { journal: new Journal(path, extent), records };
      }
      const journal = new Journal(path, nothing);
      await (await journal.draft(records)).commit();
      return { journal, records };
    }
    return { journal: new Journal(path, nothing), records: [] };
  }

  /** More was added than the base is large: it is time for another one. */
  get isOvergrown(): boolean {
    return this.#end - this.#baseBytes > Math.max(this.#baseBytes, leastOvergrowthBytes);
  }

  /** There is a base that can be added to. */
  get hasBase(): boolean {
    return this.#end > 0;
  }

  /** Adds records to the base: all of them or, when it throws, none. */
  async append(...records: readonly string[]): Promise<void> {
    const bytes = Buffer.concat(records.map(frame));
    const file = await open(this.#path, "r+");
    try {
      const { bytesWritten } = await file.write(bytes, 0, bytes.length, this.#end);
      if (bytesWritten < bytes.length) throw new Error(`${this.#path}: the disk is full`);
    } catch (error) {
      await file.truncate(this.#end);
      throw error;
    } finally {
      await file.close();
    }
    this.#end += bytes.length;
    this.#syncing ??= setTimeout(() => void this.#sync(), syncDelayMs);
  }

  /** Writes another base, which stands in place of everything once it is committed. */
  async draft(records: Iterable<string> | AsyncIterable<string>): Promise<Draft> {
    let written = 0;
    const draft = await draftFile(this.#path, async (file) => {
      const write = async (bytes: Uint8Array) => {
        await file.appendFile(bytes);
        written += bytes.length;
      };
      await write(magic);
      for await (const record of records) await write(frame(record));
      await write(seal);
    });
    return {
      commit: async () => {
        if (this.hasBase) await keepBefore(this.#path);
        await draft.commit();
        this.#end = written;
        this.#baseBytes = written;
      },
      discard: draft.discard,
    };
  }

  /** Removes everything. */
  async erase(): Promise<void> {
    this.#end = 0;
    await removeJournal(this.#path);
  }

  /** Resolves when all that was added outlives a power cut, too. Nothing may be added any more. */
  async close(): Promise<void> {
    if (this.#syncing !== undefined) await this.#sync();
  }

  async #sync(): Promise<void> {
    clearTimeout(this.#syncing);
    this.#syncing = undefined;
    try {
      const file = await open(this.#path, "r+");
      await file.datasync().finally(() => file.close());
    } catch {
      // It was erased, or the disk fails: then the next record fails, too.
    }
  }
}

/** Removes a journal that nobody has open, if there is one. */
export async function removeJournal(path: string): Promise<void> {
  await rm(beforeOf(path), { force: true });
  await rm(path, { force: true });
}

const syncDelayMs = 1_000;
const leastOvergrowthBytes = 1 << 20;

const magic = Buffer.from("GARRISON");
// The length of the record and its CRC-32, in front of each.
const headBytes = 8;
// Behind the base stands a record of no length, with what is no CRC-32 of nothing.
const seal = Buffer.from([0, 0, 0, 0, 0x53, 0x45, 0x41, 0x4c]);

interface Extent {
  readonly end: number;
  readonly baseBytes: number;
}

const nothing: Extent = { end: 0, baseBytes: 0 };

function beforeOf(path: string): string {
  return `${path}.before`;
}

async function keepBefore(path: string): Promise<void> {
  await rm(beforeOf(path), { force: true });
  try {
    await link(path, beforeOf(path));
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error; // somebody removed it
  }
}

async function bytesOf(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return Buffer.alloc(0);
    throw error;
  }
}

function frame(record: string): Buffer {
  const text = Buffer.from(record);
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(text.length, 0);
  head.writeUInt32BE(crc32(text), 4);
  return Buffer.concat([head, text]);
}

/** The records up to the first that is damaged; undefined when the base is. */
function parse(bytes: Buffer): { records: string[]; extent: Extent } | undefined {
  if (!bytes.subarray(0, magic.length).equals(magic)) return undefined;
  const records: string[] = [];
  let baseBytes = 0;
  let at = magic.length;
  while (at + headBytes <= bytes.length) {
    const isSeal = baseBytes === 0 && bytes.subarray(at, at + headBytes).equals(seal);
    const length = bytes.readUInt32BE(at);
    const text = bytes.subarray(at + headBytes, at + headBytes + length);
    const isWhole = length > 0 && text.length === length && crc32(text) === bytes.readUInt32BE(at + 4);
    if (!isSeal && !isWhole) break;
    at += headBytes + length;
    if (isSeal) baseBytes = at;
    else records.push(text.toString());
  }
  return baseBytes === 0 ? undefined : { records, extent: { end: at, baseBytes } };
}
