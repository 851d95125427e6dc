import { copyFile, mkdir, readdir, readFile, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { xrayPath } from "../xray-path.ts";
import { garrison, openPlace, type Place } from "./garrison.ts";

let place: Place;
beforeAll(async () => {
  place = await openPlace();
});
afterAll(() => place.close());

const root = join(import.meta.dirname, "../..");

describe("the command runs on the pinned Node", () => {
  test("and says so", async () => {
    const { version, dependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const expected = { code: 0, stdout: `garrison ${version} (Node ${dependencies.node})\n`, stderr: "" };
    expect(await place.finish(["version"])).toEqual(expected);
    expect(await place.finish(["--version"])).toEqual(expected);
  });

  test("called through links, relative ones too, from anywhere", async () => {
    await mkdir(join(place.directory, "bin"));
    await symlink(garrison, join(place.directory, "first"));
    await symlink("../first", join(place.directory, "bin/second"));
    expect((await place.finish(["version"], {}, join(place.directory, "bin/second"))).code).toBe(0);
    expect((await place.finish(["version"], {}, "bin/second")).code).toBe(0);
  });

  test("which keeps what it has compiled, unless there is no home for it", async () => {
    const cache = join(place.directory, "cache");
    const files = async () => (await readdir(join(cache, "compiled"), { recursive: true }).catch(() => [])).length;
    const start = async () => {
      const call = place.call(["node"], { GARRISON_CACHE_DIR: cache, XRAY_EXECUTABLE_PATH: await xrayPath() });
      await call.ready();
      await expect.poll(files, { timeout: 20_000 }).toBeGreaterThan(100);
      call.signal("SIGKILL");
      await call.ended;
    };
    await start();
    expect((await stat(join(cache, "compiled"))).mode & 0o022).toBe(0);
    await start();
    expect((await place.finish(["version"], { HOME: "", XDG_CACHE_HOME: "" })).code).toBe(0);
  });

  test("without any Node on the path", async () => {
    expect((await place.finish(["version"], { PATH: "/usr/bin:/bin" })).code).toBe(0);
  });

  test("and tells how to get it where it is missing", async () => {
    await mkdir(join(place.directory, "clone/bin"), { recursive: true });
    const copy = join(place.directory, "clone/bin/garrison");
    await copyFile(garrison, copy);
    const { code, stderr } = await place.finish(["version"], {}, copy);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^garrison: the pinned Node is not installed: run 'make install' in .*\/clone\n$/);
  });
});

test("a wrong command line ends with exit code 2", async () => {
  const { code, stdout, stderr } = await place.finish(["node", "--port", "1"]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toBe("garrison node: Unknown option '--port'\nSee garrison node --help\n");
});
