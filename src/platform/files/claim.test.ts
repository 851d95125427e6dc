import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, test } from "vitest";
import { claimDirectory, DirectoryInUse } from "./claim.ts";

let directory: string;
let others: ChildProcess[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-claim-"));
  others = [];
});
afterEach(async () => {
  for (const other of others) await end(other);
  await rm(directory, { recursive: true });
});

/** A process that claims the directory at a time, in milliseconds since 1970, says how that went, and stays. */
const program = `
  import { claimDirectory } from ${JSON.stringify(join(import.meta.dirname, "claim.ts"))};
  const [, directory, at] = process.argv;
  while (Date.now() < Number(at));
  console.log(await claimDirectory(directory).then(() => "claimed", ({ message }) => message));
  setInterval(() => undefined, 60_000);
`;

function startOther(at = 0): { other: ChildProcess; said: Promise<string> } {
  const args = ["--input-type=module", "--eval", program, directory, `${at}`];
  const other = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  others.push(other);
  const said = once(createInterface(other.stdout), "line").then(([line]) => `${line}`);
  return { other, said };
}

async function end(other: ChildProcess): Promise<void> {
  if (other.exitCode !== null || other.signalCode !== null) return;
  const ended = once(other, "exit");
  other.kill("SIGKILL");
  await ended;
}

test("a directory is claimed until it is released", async () => {
  const claim = await claimDirectory(directory);
  expect((await readdir(directory)).sort()).toEqual(["in-use-by", "lock"]);
  for (const name of ["in-use-by", "lock"]) expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
  await claim.release();
  await claim.release();
  expect(await readdir(directory)).toEqual(["lock"]);
  await (await claimDirectory(directory)).release();
});

test("what a living process has claimed is refused, and the answer names it; what a dead one has is taken", async () => {
  const { other, said } = startOther();
  expect(await said).toBe("claimed");
  const refused = new DirectoryInUse(
    `${directory} is in use by process ${other.pid}: end that, or name another data directory`,
  );
  await expect(claimDirectory(directory)).rejects.toThrow(refused);
  await end(other);
  await (await claimDirectory(directory)).release();
});

test("it is refused as well where the other has the pid that this one has, as in another container", async () => {
  expect(await startOther().said).toBe("claimed");
  await writeFile(join(directory, "in-use-by"), `${process.pid}\n`);
  await expect(claimDirectory(directory)).rejects.toThrow(DirectoryInUse);
});

test("of several that start at once where a killed one was, one gets it", async () => {
  const before = startOther();
  expect(await before.said).toBe("claimed");
  await end(before.other);
  for (let round = 0; round < 2; round += 1) {
    const at = Date.now() + 500;
    const all = [1, 2, 3].map(() => startOther(at));
    const said = await Promise.all(all.map((one) => one.said));
    expect(said.filter((text) => text === "claimed")).toHaveLength(1);
    for (const { other } of all) await end(other);
  }
});

test("what cannot be noted beside it costs nobody the claim", async () => {
  await mkdir(join(directory, "in-use-by", "taken"), { recursive: true });
  const claim = await claimDirectory(directory);
  await expect(claimDirectory(directory)).rejects.toThrow("is in use by another process");
  await rm(join(directory, "in-use-by"), { recursive: true });
  await claim.release();
});

test("a file that cannot be locked is named", async () => {
  await mkdir(join(directory, "lock"));
  await expect(claimDirectory(directory)).rejects.toThrow(`${join(directory, "lock")} cannot be locked: `);
});
