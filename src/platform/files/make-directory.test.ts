import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeDirectory } from "./make-directory.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "garrison-make-directory-"));
});
afterEach(() => rm(root, { recursive: true }));

test("a directory is made with all that it lies in, and one that is there is left alone", async () => {
  const path = join(root, "a/b/c");
  await makeDirectory(path, 0o700);
  expect((await stat(path)).mode & 0o777).toBe(0o700);
  expect((await stat(join(root, "a"))).mode & 0o777).toBe(0o700);
  await makeDirectory(path);
  expect((await stat(path)).mode & 0o777).toBe(0o700);
});

test.each([
  ["is a file", "file", "EEXIST"],
  ["lies in a file", "file/a/b", "ENOTDIR"],
])("a path that %s cannot be one", async (_what, path, code) => {
  await writeFile(join(root, "file"), "");
  await expect(makeDirectory(join(root, path))).rejects.toMatchObject({ code });
});

test("where a directory takes no others it ends, too", async () => {
  await expect(makeDirectory("/proc/garrison/a")).rejects.toMatchObject({ code: "ENOENT" });
});
