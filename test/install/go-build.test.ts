import { spawnSync } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { GoBuildFailed } from "../../src/node/engines/install/go-build.ts";
import { type InstallOptions, InstallRefused, installEngine } from "../../src/node/engines/install/install.ts";
import { type PinnedEngine, pinnedEngines } from "../../src/node/engines/install/pinned.ts";
import { zip } from "./zip.ts";

// The Go of the machine builds a small module from a module proxy that is a directory.

const module = "garrison.test/engine";
const version = "v1.0.0";
const files = {
  "go.mod": `module ${module}\n\ngo 1.20\n`,
  // Never the same twice: what is in Go's cache is not built, and shows no progress.
  "main/main.go": `package main\n\nimport "os"\n\nfunc main() { os.Stdout.WriteString("Xray 26.3.27 (${randomUUID()})\\n") }\n`,
  "broken/main.go": "package main\n\nfunc main() { thisIsNotThere() }\n",
};

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "garrison-go-"));
  const proxy = join(root, "proxy", module, "@v");
  await mkdir(proxy, { recursive: true });
  const entries = Object.entries(files).map(([name, data]) => ({ name: `${module}@${version}/${name}`, data }));
  await writeFile(join(proxy, `${version}.zip`), zip(...entries));
  await writeFile(join(proxy, `${version}.mod`), files["go.mod"]);
  await writeFile(join(proxy, `${version}.info`), JSON.stringify({ Version: version }));
});
afterAll(async () => {
  spawnSync("go", ["clean", "-modcache"], { env: env() }); // Go makes its modules read-only
  await rm(root, { recursive: true });
});

let cacheDir = "";
const shown: string[] = [];
beforeEach(async () => {
  cacheDir = await mkdtemp(join(root, "cache-"));
  shown.length = 0;
});

const env = () => ({
  ...process.env,
  GOPROXY: `file://${join(root, "proxy")}`,
  GOSUMDB: "off",
  GOMODCACHE: join(root, "modules"),
});

/** The checksum that Go gives a module: over the digests of its files, by name. */
function sum(): string {
  const lines = Object.entries(files)
    .map(([name, data]) => `${createHash("sha256").update(data).digest("hex")}  ${module}@${version}/${name}\n`)
    .sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1));
  return `h1:${createHash("sha256").update(lines.join("")).digest("base64")}`;
}

const engine = (source: Partial<PinnedEngine["source"]> = {}): PinnedEngine => ({
  ...pinnedEngines.xray,
  source: { module, version, sum: sum(), package: "./main", ldflags: "-s -w", ...source },
});

const install = (options: Partial<InstallOptions> = {}) =>
  installEngine({
    engine: engine(),
    cacheDir,
    env: env(),
    force: true,
    signal: new AbortController().signal,
    progress: { note: (text) => shown.push(text), update: (text) => shown.push(text) },
    ...options,
  });

const remains = () => readdir(join(cacheDir, "engines/xray"));

describe("without a digest for an archive, Go", () => {
  test("builds the pinned module, showing how far it is", async () => {
    const installed = await install();
    expect(installed).toEqual({ path: join(cacheDir, "engines/xray/26.3.27/xray"), version: "26.3.27", found: false });
    expect(await readdir(join(cacheDir, "engines/xray/26.3.27"))).toEqual(["xray"]);
    expect(shown[0]).toContain("no SHA-256 is pinned");
    expect(shown).toContain(`fetching the Go module ${module}@${version}`);
    expect(shown.some((line) => line.includes(`${module}/main`))).toBe(true);
  });

  test("does not build a module with another checksum", async () => {
    const installing = install({ engine: engine({ sum: "h1:AAAA" }) });
    await expect(installing).rejects.toThrow(GoBuildFailed);
    await expect(installing).rejects.toThrow(`has the checksum ${sum()}, but h1:AAAA is pinned`);
    expect(await remains()).toEqual([]);
  });

  test("says why it could not build", async () => {
    const installing = install({ engine: engine({ package: "./broken" }) });
    await expect(installing).rejects.toThrow(GoBuildFailed);
    await expect(installing).rejects.toThrow(/go build failed:.*undefined: thisIsNotThere/s);
    expect(await remains()).toEqual([]);
  });

  test("says why it could not fetch the module", async () => {
    await expect(install({ engine: engine({ version: "v9.9.9" }) })).rejects.toThrow(/go mod failed:.*v9\.9\.9/s);
  });

  test("is asked for when it is missing", async () => {
    const installing = install({ env: { PATH: join(root, "nowhere") } });
    await expect(installing).rejects.toThrow(InstallRefused);
    await expect(installing).rejects.toThrow("Go is not on the PATH: install Go, or pass --sha256");
    expect(await remains()).toEqual([]);
  });

  test("is ended when the user leaves", async () => {
    const bin = await mkdtemp(join(root, "bin-"));
    await writeFile(join(bin, "go"), "#!/bin/sh\necho started >&2\nexec sleep 60\n");
    await chmod(join(bin, "go"), 0o755);
    const leaving = new AbortController();
    const installing = install({
      env: { PATH: `${bin}:/usr/bin:/bin` },
      signal: leaving.signal,
      progress: { note: () => undefined, update: () => leaving.abort(new Error("interrupted")) },
    });
    await expect(installing).rejects.toThrow("interrupted");
    expect(await remains()).toEqual([]);
  });
});
