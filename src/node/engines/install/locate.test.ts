import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  cacheDir,
  findEngine,
  findTelemt,
  findXray,
  findXrayAssets,
  usualXrayAssets,
  usualXrayPath,
} from "./locate.ts";
import { pinnedEngines } from "./pinned.ts";

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "garrison-locate-"));
});
afterEach(() => rm(root, { recursive: true }));

async function program(path: string, mode = 0o755): Promise<string> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, "");
  await chmod(file, mode);
  return file;
}

describe("the Xray to use", () => {
  const cached = "cache/engines/xray/26.3.27/xray";

  test("is the one that is named, before any other", async () => {
    const named = await program("mine/xray");
    await program(cached);
    expect(await findXray({ env: { XRAY_EXECUTABLE_PATH: named }, cacheDir: join(root, "cache") })).toBe(named);
  });

  test("is none when the named one is missing or no program", async () => {
    await program(cached);
    for (const named of [join(root, "absent"), root, await program("text", 0o644)])
      expect(await findXray({ env: { XRAY_EXECUTABLE_PATH: named }, cacheDir: join(root, "cache") })).toBeUndefined();
  });

  test("is else the installed one, in the cache that the environment names", async () => {
    const installed = await program(cached);
    const onPath = await program("bin/xray");
    expect(await findXray({ env: { GARRISON_CACHE_DIR: join(root, "cache"), PATH: dirname(onPath) } })).toBe(installed);
  });

  test("is else the usual one or the first on the path, which must be absolute", async () => {
    const first = await program("bin/xray");
    await program("later/xray");
    const env = { PATH: `relative:${root}:${dirname(first)}:${join(root, "later")}` };
    expect([usualXrayPath, first]).toContain(await findXray({ env, cacheDir: join(root, "cache") }));
  });
});

test("another engine is found in the cache, else on the path, and XRAY_EXECUTABLE_PATH does not name it", async () => {
  const env = { PATH: join(root, "bin"), XRAY_EXECUTABLE_PATH: await program("xray") };
  const options = { env, cacheDir: join(root, "cache") };
  expect(await findEngine(pinnedEngines["sing-box"], options)).toBeUndefined();
  const onPath = await program("bin/sing-box");
  expect(await findEngine(pinnedEngines["sing-box"], options)).toBe(onPath);
  const installed = await program("cache/engines/sing-box/1.14.1/sing-box");
  expect(await findEngine(pinnedEngines["sing-box"], options)).toBe(installed);
});

test("telemt is the one that TELEMT_PATH names, else the one on the path", async () => {
  const named = await program("my-telemt");
  const env = { PATH: join(root, "bin") };
  expect(await findTelemt(env)).toBeUndefined();
  const onPath = await program("bin/telemt");
  expect(await findTelemt(env)).toBe(onPath);
  expect(await findTelemt({ ...env, TELEMT_PATH: named })).toBe(named);
  expect(await findTelemt({ ...env, TELEMT_PATH: join(root, "missing") })).toBeUndefined();
});

test("geodata is taken from beside the program where there is some", async () => {
  const xray = await program("xray");
  expect(await findXrayAssets(xray)).toBe(usualXrayAssets);
  await program("geoip.dat", 0o644);
  expect(await findXrayAssets(xray)).toBe(root);
});

test.each([
  [{ GARRISON_CACHE_DIR: "/c", XDG_CACHE_HOME: "/x", HOME: "/h" }, "/c"],
  [{ GARRISON_CACHE_DIR: "c" }, join(process.cwd(), "c")],
  [{ XDG_CACHE_HOME: "/x", HOME: "/h" }, "/x/garrison"],
  [{ HOME: "/h" }, "/h/.cache/garrison"],
])("the cache of %j is %s", (env, expected) => {
  expect(cacheDir(env)).toBe(expected);
});
