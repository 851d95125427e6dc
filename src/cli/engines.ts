import { installEngine } from "../node/engines/install/install.ts";
import { installVariables } from "../node/engines/install/install-variables.ts";
import { cacheDir, findEngine } from "../node/engines/install/locate.ts";
import { type EngineName, engineNames, type PinnedEngine, pinnedEngines } from "../node/engines/install/pinned.ts";
import { NotThisEngine, versionOf } from "../node/engines/install/version.ts";
import { type Env, readVariables, variablesAsText } from "../platform/config/variables.ts";
import { type Command, type Invocation, refuseWords, type Surroundings, WrongUsage } from "./command.ts";
import { interruptible } from "./interruption.ts";
import { createTerminalProgress } from "./terminal-progress.ts";

/** `garrison engines` */
export const enginesCommand: Command = {
  usage: "garrison engines list\n       garrison engines install <engine> [options]",
  about: [
    "install  uses the engine that is there; else unpacks a release archive whose SHA-256 is pinned or given;",
    "         else builds the pinned module with Go. Prints the path of the program.",
    "list     prints every engine with the version and path of what is installed.",
  ].join("\n"),
  options: {
    sha256: { type: "string", value: "<hex>", about: "install: the digest of the release archive to use" },
    from: { type: "string", value: "archive|go", about: "install: only this way" },
    force: { type: "boolean", about: "install: the pinned version, even where one is installed" },
  },
  details: [
    `Engines:\n${Object.values(pinnedEngines)
      .map(({ name, version, about }) => `  ${name.padEnd(11)}${version.padEnd(14)}${about}`)
      .join("\n")}`,
    "telemt, the engine of MTProto, is in no registry and has no pinned archive: TELEMT_PATH names the node's.",
    `Environment variables:\n${variablesAsText(installVariables)}`,
  ].join("\n\n"),
  async run(invocation, surroundings) {
    const [action, ...words] = invocation.words;
    const inner = { ...invocation, words };
    if (action === "install") return install(inner, surroundings);
    if (action === "list") return list(inner, surroundings);
    throw new WrongUsage(action === undefined ? "install or list?" : `there is no 'engines ${action}'`);
  },
};

async function install(
  { words, flags, texts }: Invocation,
  { stdout, stderr, readEnv }: Surroundings,
): Promise<number> {
  const [name, ...rest] = words;
  refuseWords(rest);
  const engine = engineNamed(name);
  const from = sourceNamed(texts.from);
  const { sha256 } = texts;
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256)) throw new WrongUsage("--sha256 takes 64 hex digits");
  if (sha256 !== undefined && from === "go")
    throw new WrongUsage("--sha256 is the digest of an archive, and --from go uses none");
  const env = await readEnv();
  const { GARRISON_XRAY_MIRROR: mirror } = await readVariables(installVariables, env);
  const progress = createTerminalProgress(stderr, () => performance.now());
  const installed = await interruptible((signal) =>
    installEngine({
      engine,
      cacheDir: cacheDir(env),
      env,
      mirror: engine.name === "xray" ? mirror : undefined,
      sha256,
      from,
      force: flags.force ?? false,
      signal,
      progress,
    }),
  );
  if (installed.found) progress.note(`${engine.name} ${installed.version} is installed already`);
  stdout.write(`${installed.path}\n`);
  return 0;
}

async function list({ words }: Invocation, { stdout, readEnv }: Surroundings): Promise<number> {
  refuseWords(words);
  const env = await readEnv();
  for (const engine of Object.values(pinnedEngines)) stdout.write(`${await describe(engine, env)}\n`);
  return 0;
}

async function describe(engine: PinnedEngine, env: Env): Promise<string> {
  const name = engine.name.padEnd(11);
  const path = await findEngine(engine, { env });
  if (path === undefined)
    return `${name}not installed (garrison engines install ${engine.name} brings ${engine.version})`;
  try {
    return `${name}${(await versionOf(path, engine)).padEnd(14)}${path}`;
  } catch (error) {
    if (error instanceof NotThisEngine) return `${name}unusable  ${error.message}`;
    throw error;
  }
}

function engineNamed(name: string | undefined): PinnedEngine {
  const found = engineNames.find((engine): engine is EngineName => engine === name);
  if (found !== undefined) return pinnedEngines[found];
  const known = `there are ${engineNames.join(", ")}`;
  throw new WrongUsage(name === undefined ? `which engine? ${known}` : `there is no engine '${name}'; ${known}`);
}

function sourceNamed(source: string | undefined): "archive" | "go" | undefined {
  if (source === undefined || source === "archive" || source === "go") return source;
  throw new WrongUsage(`--from takes 'archive' or 'go', not '${source}'`);
}
