import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openServiceDir } from "./data-dir.ts";

let parent = "";
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "garrison-data-"));
});
afterEach(() => rm(parent, { recursive: true }));

const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

test("the directory and the service's own are made, for this user only", async () => {
  const root = join(parent, "deep/data");
  expect(await openServiceDir(root, "node")).toBe(join(root, "node"));
  expect(await modeOf(root)).toBe(0o700);
  expect(await modeOf(join(root, "node"))).toBe(0o700);
});

test("it may be opened again, and for another service", async () => {
  await openServiceDir(parent, "node");
  await openServiceDir(parent, "node");
  expect(await openServiceDir(parent, "core")).toBe(join(parent, "core"));
});

test("a service's directory that was opened to others is closed again", async () => {
  const directory = await openServiceDir(parent, "node");
  await chmod(directory, 0o755);
  await openServiceDir(parent, "node");
  expect(await modeOf(directory)).toBe(0o700);
});

test("an empty directory that others can see into is closed to them", async () => {
  await chmod(parent, 0o755);
  await openServiceDir(parent, "node");
  expect(await modeOf(parent)).toBe(0o700);
});

test("a directory that others can see into and that holds something is refused and left alone", async () => {
  await mkdir(join(parent, "srv"));
  await writeFile(join(parent, "srv/page"), "");
  await chmod(join(parent, "srv"), 0o755);
  await expect(openServiceDir(join(parent, "srv"), "node")).rejects.toThrow(
    `GARRISON_DATA_DIR is "${join(parent, "srv")}": it cannot be used: it is open to other users (mode 0755)`,
  );
  expect(await modeOf(join(parent, "srv"))).toBe(0o755);
});

test("a file in its place is refused with the variable's name", async () => {
  await writeFile(join(parent, "file"), "");
  await expect(openServiceDir(join(parent, "file"), "node")).rejects.toThrow(
    /^GARRISON_DATA_DIR is ".*file": it cannot be/,
  );
});
