import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Journal } from "./journal.ts";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-journal-"));
  path = join(directory, "state");
});
afterEach(() => rm(directory, { recursive: true }));

/** What a process reads that opens the journal now. */
async function read(): Promise<readonly string[]> {
  const { journal, records } = await Journal.open(path);
  await journal.close();
  return records;
}

async function journalWith(base: string[], ...added: string[]): Promise<Journal> {
  const { journal } = await Journal.open(path);
  await (await journal.draft(base)).commit();
  for (const record of added) await journal.append(record);
  return journal;
}

test("what was written is read, in order, with letters of every script", async () => {
  const journal = await journalWith(["one", "zwei \u{1f98a}"], "trois");
  await journal.append("four", "five");
  await journal.close();
  expect(await read()).toEqual(["one", "zwei \u{1f98a}", "trois", "four", "five"]);
});

test("there is nothing where nothing was written, and nothing is left after an erasure", async () => {
  expect(await read()).toEqual([]);
  const journal = await journalWith(["a"], "b");
  await (await journal.draft(["c"])).commit();
  await journal.erase();
  await journal.close();
  expect(await readdir(directory)).toEqual([]);
  expect(await read()).toEqual([]);
});

test("only this user can read it, and the one before", async () => {
  const journal = await journalWith(["a"]);
  await (await journal.draft(["b"])).commit();
  await journal.close();
  expect((await readdir(directory)).sort()).toEqual(["state", "state.before"]);
  for (const name of await readdir(directory)) {
    expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
  }
});

test("another base counts once it is committed, and a discarded one leaves nothing", async () => {
  const journal = await journalWith(["a"], "b");
  const draft = await journal.draft(["c"]);
  await journal.append("d");
  expect(await read()).toEqual(["a", "b", "d"]);
  await draft.commit();
  await journal.append("e");
  await (await journal.draft(["f"])).discard();
  await journal.close();
  expect(await read()).toEqual(["c", "e"]);
  expect((await readdir(directory)).sort()).toEqual(["state", "state.before"]);
});

test("a journal that is opened again is added to", async () => {
  await (await journalWith(["a"], "b")).close();
  const { journal } = await Journal.open(path);
  await journal.append("c");
  await journal.close();
  expect(await read()).toEqual(["a", "b", "c"]);
});

describe("cut off at any byte", () => {
  test("behind the base, whole records count, and what is added then is read", async () => {
    const base = await journalWith(["base"]);
    const baseBytes = (await readFile(path)).length;
    await base.append("first", "second", "third");
    await base.close();
    const bytes = await readFile(path);
    const all = ["base", "first", "second", "third"];
    for (let length = baseBytes; length <= bytes.length; length++) {
      await writeFile(path, bytes.subarray(0, length));
      const { journal, records } = await Journal.open(path);
      expect(records).toEqual(all.slice(0, records.length));
      if (length === bytes.length) expect(records).toEqual(all);
      await journal.append("more");
      await journal.close();
      expect(await read()).toEqual([...records, "more"]);
    }
  });

  test("within the base, the one before counts", async () => {
    const journal = await journalWith(["a"], "b");
    await (await journal.draft(["c", "d"])).commit();
    await journal.close();
    const bytes = await readFile(path);
    for (let length = 0; length < bytes.length; length++) {
      const { journal: mended } = await Journal.open(path);
      await mended.close();
      await writeFile(path, bytes.subarray(0, length));
      expect(await read()).toEqual(["a", "b"]);
      await (await journal.draft(["c", "d"])).discard();
    }
    expect(await read()).toEqual(["a", "b"]);
  });
});

test("a bit that has changed damages its record and what follows, and in the base the whole file", async () => {
  const journal = await journalWith(["before"]);
  await (await journal.draft(["base"])).commit();
  const baseBytes = (await readFile(path)).length;
  await journal.append("one", "two");
  await journal.close();
  const bytes = await readFile(path);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] ?? 0) ^ 0x10;
    await writeFile(path, damaged);
    await writeFile(`${path}.before`, await fileOf(["before"]));
    const expected = at < baseBytes ? ["before"] : at < baseBytes + 8 + 3 ? ["base"] : ["base", "one"];
    expect(await read()).toEqual(expected);
  }
});

test("zeros behind it, as a power cut leaves them, are no records", async () => {
  await (await journalWith(["a"], "b")).close();
  const { length } = await readFile(path);
  await truncate(path, length + 4_096);
  expect(await read()).toEqual(["a", "b"]);
  expect((await readFile(path)).length).toBe(length);
});

test("it is overgrown when more was added than the base is large, and a megabyte", async () => {
  const journal = await journalWith(["x".repeat(2 << 20)]);
  const record = "y".repeat(1 << 20);
  await journal.append(record);
  expect(journal.isOvergrown).toBe(false);
  await journal.append(record, "z");
  expect(journal.isOvergrown).toBe(true);
  await (await journal.draft(["a"])).commit();
  expect(journal.isOvergrown).toBe(false);
  await journal.append("y".repeat(1 << 19));
  expect(journal.isOvergrown).toBe(false);
  await journal.close();
});

test("where somebody removed it nothing can be added, until there is another base", async () => {
  const journal = await journalWith(["a"]);
  await rm(path);
  await expect(journal.append("b")).rejects.toThrow("ENOENT");
  expect(await read()).toEqual([]);
  await (await journal.draft(["c"])).commit();
  await journal.append("d");
  await journal.close();
  expect(await read()).toEqual(["c", "d"]);
});

/** The bytes of a journal with this base. */
async function fileOf(base: string[]): Promise<Buffer> {
  const other = join(directory, "other");
  const { journal } = await Journal.open(other);
  await (await journal.draft(base)).commit();
  await journal.close();
  return readFile(other);
}
