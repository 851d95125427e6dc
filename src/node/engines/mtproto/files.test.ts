import { mkdir, mkdtemp, readFile, rm, rmdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { allFiles, filesOf, makeDirectory, type OnDisk, removeConfig, writeConfig } from "./files.ts";

let runDir: string;
beforeEach(async () => {
  runDir = await mkdtemp(join(tmpdir(), "garrison-files-"));
});
afterEach(() => rm(runDir, { recursive: true }));

const nothing = (): OnDisk => ({ main: undefined, access: undefined });

test("files lie in a directory of the inbound, for this user only, until they are removed", async () => {
  const files = filesOf(runDir, "7");
  expect(await allFiles(join(runDir, "missing"))).toEqual([]);
  await makeDirectory(files);
  await writeConfig(files, { main: "main", access: "access" }, nothing());
  expect(await allFiles(runDir)).toEqual([files]);
  expect([await readFile(files.main, "utf8"), await readFile(files.access, "utf8")]).toEqual(["main", "access"]);
  for (const path of [files.main, files.access]) expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(files.directory)).mode & 0o777).toBe(0o700);
  await removeConfig(files);
  await removeConfig(files);
  await expect(stat(files.access)).rejects.toThrow("ENOENT");
});

test("what is on the disk already is not written again", async () => {
  const files = filesOf(runDir, "7");
  await makeDirectory(files);
  const onDisk = nothing();
  await writeConfig(files, { main: "main", access: "access" }, onDisk);
  const { ino } = await stat(files.main);
  await writeConfig(files, { main: "main", access: "changed" }, onDisk);
  expect((await stat(files.main)).ino).toBe(ino);
  expect(await readFile(files.access, "utf8")).toBe("changed");
});

test("what was written half can be taken back", async () => {
  const files = filesOf(runDir, "7");
  await makeDirectory(files);
  const onDisk = nothing();
  await writeConfig(files, { main: "main", access: "access" }, onDisk);
  await rm(files.access);
  await mkdir(join(files.access, "in the way"), { recursive: true });
  await expect(writeConfig(files, { main: "changed", access: "changed" }, onDisk)).rejects.toThrow();
  expect(await readFile(files.main, "utf8")).toBe("changed");
  await rmdir(join(files.access, "in the way"));
  await rmdir(files.access);
  await writeConfig(files, { main: "main", access: "access" }, onDisk);
  expect(await readFile(files.main, "utf8")).toBe("main");
});
