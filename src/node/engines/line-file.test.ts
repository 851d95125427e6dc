import { spawnSync } from "node:child_process";
import { appendFile, mkdir, mkdtemp, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createLineFile, type LineFileOptions } from "./line-file.ts";

let root = "";
let path = "";
let told: string[] = [];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "garrison-lines-"));
});
afterAll(() => rm(root, { recursive: true }));
beforeEach(async () => {
  path = join(await mkdtemp(join(root, "case-")), "access.log");
  told = [];
});

const create = (options: Partial<LineFileOptions> = {}) =>
  createLineFile({ path, tell: (note) => told.push(note), ...options });
const read = (file = path) => readFile(file, "utf8");

describe("a file of lines", () => {
  test("is there before the first line, with its directories, closed to other users", async () => {
    path = join(path, "deep/down/error.log");
    await create().written();
    expect(await read()).toBe("");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test("keeps what it had, and its mode", async () => {
    await writeFile(path, "before\n", { mode: 0o644 });
    const file = create();
    file.write("after");
    await file.written();
    expect(await read()).toBe("before\nafter\n");
    expect((await stat(path)).mode & 0o777).toBe(0o644);
  });

  test("has every line in order, those that come while others are written among them", async () => {
    const file = create();
    const expected: string[] = [];
    for (let burst = 0; burst < 200; burst += 1) {
      for (let n = 0; n < 100; n += 1) {
        const line = `line ${expected.length} – ${"x".repeat(n)}`;
        expected.push(line);
        file.write(line);
      }
      await new Promise(setImmediate);
    }
    await file.written();
    expect((await read()).split("\n")).toEqual([...expected, ""]);
    expect(told).toEqual([]);
  });

  test("does not write while it is asked to: who asks goes on at once", async () => {
    const file = create();
    await file.written();
    file.write("later");
    expect(await stat(path)).toMatchObject({ size: 0 });
    await file.written();
    expect(await read()).toBe("later\n");
  });

  test("that was moved away is made anew, and that was emptied is filled from its beginning", async () => {
    const file = create();
    file.write("first");
    await file.written();
    await rename(path, `${path}.1`);
    file.write("second");
    await file.written();
    expect(await read(`${path}.1`)).toBe("first\n");
    expect(await read()).toBe("second\n");
    await truncate(path);
    file.write("third");
    await file.written();
    expect(await read()).toBe("third\n");
  });

  test("shared with others has the lines of all", async () => {
    const file = create();
    file.write("ours");
    await file.written();
    await appendFile(path, "theirs\n");
    file.write("ours again");
    await file.written();
    expect(await read()).toBe("ours\ntheirs\nours again\n");
  });
});

describe("a file that cannot be written", () => {
  test("is told of once, and once when it can be again, and says how many lines are missing", async () => {
    await mkdir(path);
    const file = create();
    await file.written();
    expect(told).toEqual([expect.stringContaining(`the log file ${path} cannot be written`)]);
    expect(told[0]).toContain("EISDIR");
    for (const line of ["one", "two", "three"]) {
      file.write(line);
      await file.written();
    }
    expect(told).toHaveLength(1);
    await rm(path, { recursive: true });
    file.write("four");
    await file.written();
    file.write("five");
    await file.written();
    expect(await read()).toBe("[garrison] 3 lines were lost here\nfour\nfive\n");
    expect(told.slice(1)).toEqual([`[garrison] the log file ${path} is written again; 3 lines were lost`]);
  });

  test.each([
    ["its disk is full", () => "/dev/full", "ENOSPC"],
    ["its directory is a file", () => "/dev/null/access.log", "ENOTDIR"],
    ["its directory takes none", () => "/proc/nowhere/deep/access.log", "ENOENT"],
    ["its name is none", () => join(root, "a\0b"), "null bytes"],
    ["it is a pipe that nobody reads", () => pipe(), "ENXIO"],
  ])("because %s, fails nobody and holds up nobody", async (_why, place, reason) => {
    const file = create({ path: place() });
    file.write("lost");
    file.write("lost, too");
    await file.written();
    expect(told).toEqual([expect.stringContaining(reason)]);
  });

  const pipe = () => {
    spawnSync("mkfifo", [path]);
    return path;
  };
});

describe("lines that come faster than they can be written", () => {
  test("are lost beyond the bytes that may wait, and the file says how many, and where", async () => {
    const file = create({ maxWaitingBytes: 12 });
    // The empty batch is on its way, so that all of these wait.
    for (const line of ["12345", "67890", "lost", "x", "lost"]) file.write(line);
    await file.written();
    file.write("next");
    await file.written();
    expect(await read()).toBe("12345\n67890\n[garrison] 3 lines were lost here\nnext\n");
    expect(told).toEqual([]);
  });

  test("count among those that a failing file has lost", async () => {
    await mkdir(path);
    const file = create({ maxWaitingBytes: 12 });
    for (const line of ["12345", "67890", "lost"]) file.write(line);
    await file.written();
    await rm(path, { recursive: true });
    file.write("next");
    await file.written();
    expect(await read()).toBe("[garrison] 3 lines were lost here\nnext\n");
  });
});
