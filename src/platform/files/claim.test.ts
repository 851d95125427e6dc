import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bootId, startTicks } from "../proc.ts";
import { claimDirectory, DirectoryInUse } from "./claim.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-claim-"));
});
afterEach(() => rm(directory, { recursive: true }));

const claimFile = () => join(directory, "in-use-by");

test("a directory is claimed until it is released", async () => {
  const claim = await claimDirectory(directory);
  expect(await readdir(directory)).toEqual(["in-use-by"]);
  await claim.release();
  expect(await readdir(directory)).toEqual([]);
});

test("what a living process has claimed is refused, and the answer names it; what a dead one has is taken", async () => {
  const other = spawn("sleep", ["60"]);
  await once(other, "spawn");
  const pid = other.pid ?? 0;
  await writeFile(claimFile(), `${pid} ${startTicks(pid)} ${bootId()}\n`);
  await expect(claimDirectory(directory)).rejects.toThrow(
    new DirectoryInUse(`${directory} is in use by process ${pid}: end that, or name another data directory`),
  );
  other.kill("SIGKILL");
  await once(other, "exit");
  await (await claimDirectory(directory)).release();
});

test.each([
  ["another process that has its pid by now", () => `1 999999999 ${bootId()}\n`],
  ["a run of the system that is over", () => `1 ${startTicks(1)} 00000000-0000-0000-0000-000000000000\n`],
  ["nobody, since the file is torn", () => ""],
  ["this process, before it started again", () => `${process.pid} ${startTicks(process.pid)} ${bootId()}\n`],
])("the claim of %s is void", async (_, content) => {
  await writeFile(claimFile(), content());
  await (await claimDirectory(directory)).release();
});
