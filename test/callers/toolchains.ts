import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { cacheDir } from "../../src/node/engines/install/locate.ts";
import { run } from "./command.ts";

// Callers in other languages are generated from the contract and built at test time. What is fetched for them is kept
// in the user's cache directory, outside the repository.

const root = new URL("../..", import.meta.url).pathname;
const bin = join(root, "node_modules/.bin");
const cache = join(cacheDir(process.env), "test");
const env: NodeJS.ProcessEnv = { ...process.env, CGO_ENABLED: "0", GOFLAGS: "", GOWORK: "off" };

/** Builds the caller in Go in `directory`, with the code generators that its go.mod pins, and returns its path. */
export async function buildGoCaller(directory: string): Promise<string> {
  await cp(join(root, "test/callers/go"), directory, { recursive: true });
  const go = { cwd: directory, env };
  await run("go", ["build", "-o", "tools/", "tool"], go);
  const path = [join(directory, "tools"), bin, env.PATH].join(delimiter);
  const template = join(directory, "buf.gen.yaml");
  await run("buf", ["generate", "--template", template, "-o", directory], { cwd: root, env: { ...env, PATH: path } });
  await run("go", ["build", "-o", "caller", "."], go);
  return join(directory, "caller");
}

/** A Python that can run the caller in Python, whose generated code is put into `directory`. */
export async function preparePythonCaller(directory: string): Promise<string> {
  const python = await pythonWithGrpc();
  const sources = ["service/node.proto", "garrison/rest/v1/rest.proto"];
  const out = [`--python_out=${directory}`, `--grpc_python_out=${directory}`];
  await run(python, ["-m", "grpc_tools.protoc", "-Iproto", ...out, ...sources], { cwd: root, env });
  await cp(join(root, "test/callers/python/caller.py"), join(directory, "caller.py"));
  return python;
}

async function pythonWithGrpc(): Promise<string> {
  const base = await findPython([3, 11]);
  if (base === undefined) {
    throw new Error(
      "the caller in Python needs Python 3.11 or newer with venv: install python3.12 and python3.12-venv",
    );
  }
  return virtualEnvironment(base, join(root, "test/callers/python/requirements.txt"));
}

/** A Python that the published client of panels runs on. Undefined where there is none. */
export function findPythonForBridge(): Promise<string | undefined> {
  return findPython([3, 12]);
}

/** A Python with this version of the published client of panels, and with what that needs. */
export function prepareBridge(python: string, version: string): Promise<string> {
  return virtualEnvironment(python, join(root, `test/callers/bridge/requirements-${version}.txt`));
}

// An environment that is complete has a file that says so: an interrupted one is made again.
async function virtualEnvironment(base: string, requirements: string): Promise<string> {
  const pinned = createHash("sha256")
    .update(base)
    .update(await readFile(requirements))
    .digest("hex")
    .slice(0, 12);
  const directory = join(cache, `python-${pinned}`);
  const python = join(directory, "bin/python");
  const complete = join(directory, "complete");
  if (!existsSync(complete)) {
    await rm(directory, { recursive: true, force: true });
    await mkdir(cache, { recursive: true });
    await run(base, ["-m", "venv", directory], { cwd: cache, env });
    await run(python, ["-m", "pip", "install", "--quiet", "-r", requirements], { cwd: cache, env });
    await writeFile(complete, "");
  }
  return python;
}

// Python 3.12 or 3.13, from the path or from pyenv; else the machine's own.
async function findPython(least: readonly [major: number, minor: number]): Promise<string | undefined> {
  const versions = join(process.env.PYENV_ROOT ?? join(process.env.HOME ?? "/", ".pyenv"), "versions");
  const installed = existsSync(versions) ? (await readdir(versions)).filter((name) => /^3\.1[23]\./.test(name)) : [];
  const candidates = [
    "python3.12",
    ...installed.sort().map((name) => join(versions, name, "bin/python3")),
    "python3.13",
    "python3",
  ];
  const test = `import sys, venv, ensurepip; assert sys.version_info >= (${least}); print(sys.executable)`;
  for (const candidate of candidates) {
    const found = await run(candidate, ["-c", test], { cwd: root, env }).catch(() => undefined);
    if (found !== undefined) return found.trim();
  }
  return undefined;
}
