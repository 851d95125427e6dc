import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keepCore, programToUse } from "./kept-core.ts";

let directory = "";
const at = (...names: string[]) => join(directory, ...names);
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-kept-"));
  await mkdir(at("new"));
  await mkdir(at("assets"));
  await writeFile(at("new/xray"), "");
  await chmod(at("new/xray"), 0o755);
});
afterEach(() => rm(directory, { recursive: true }));

const configured = () => ({ executable: "/usr/bin/xray", assets: at("assets") });
const use = () => programToUse(at("core.json"), configured());

test("without a choice, or with one that cannot be read, the settings count", async () => {
  expect(await use()).toEqual(configured());
  for (const text of ["", "{", "null", '{"executable":1}']) {
    await writeFile(at("core.json"), text);
    expect(await use()).toEqual(configured());
  }
});

test("a kept choice counts until the settings name another program, or it is gone", async () => {
  await keepCore(at("core.json"), at("new/xray"), "/usr/bin/xray");
  expect((await stat(at("core.json"))).mode & 0o777).toBe(0o600);
  expect(await readdir(directory)).toEqual(["assets", "core.json", "new"]);
  expect(await use()).toEqual({ executable: at("new/xray"), assets: at("assets") });
  const other = { executable: "/opt/xray", assets: at("assets") };
  expect(await programToUse(at("core.json"), other)).toEqual(other);
  await rm(at("new/xray"));
  expect(await use()).toEqual(configured());
});

test("geodata that came with a program are used only where there are no others", async () => {
  await keepCore(at("core.json"), at("new/xray"), "/usr/bin/xray");
  await writeFile(at("new/geoip.dat"), "");
  expect((await use()).assets).toBe(at("new"));
  await writeFile(at("assets/geoip.dat"), "");
  expect((await use()).assets).toBe(at("assets"));
});
