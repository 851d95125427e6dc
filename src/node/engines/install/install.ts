import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Env } from "../../../platform/config/variables.ts";
import { isErrno } from "../../../platform/errno.ts";
import { DownloadFailed, download } from "./download.ts";
import { buildWithGo, GoMissing } from "./go-build.ts";
import { findEngine, installedDir, installedPath } from "./locate.ts";
import type { Archive, PinnedEngine, Release } from "./pinned.ts";
import { mebibytes, type Progress } from "./progress.ts";
import { ArchiveRefused, unpack } from "./unpack.ts";
import { NotThisEngine, versionOf } from "./version.ts";

/** Options of {@link installEngine}. */
export interface InstallOptions {
  engine: PinnedEngine;
  /** Absolute. */
  cacheDir: string;
  env: Env;
  /** Where release archives are: a directory, without a slash at its end, or the URL of one `.zip`. Default: the project's releases. */
  mirror?: string;
  /** The digest of the archive, hex. */
  sha256?: string;
  /** Only this way. Default: the archive when a mirror or digest is given or one is pinned, else Go. */
  from?: "archive" | "go";
  /** Install the pinned version even where one is installed. */
  force?: boolean;
  /** The kind of machine. Default: this one. */
  platform?: string;
  /** The largest archive. Default: 128 MiB. */
  maxArchiveBytes?: number;
  signal: AbortSignal;
  progress: Progress;
}

/** An engine that is there now. */
export interface InstalledEngine {
  readonly path: string;
  readonly version: string;
  /** It was there before. */
  readonly found: boolean;
}

/** An engine cannot be installed as asked. The message says why, and what would help. */
export class InstallRefused extends Error {
  override readonly name = "InstallRefused";
}

/** How directories begin in which something is made ready. */
export const draftPrefix = ".draft-";

/**
 * Sees to it that an engine is installed: uses the one that is there, else unpacks a release archive whose digest is
 * pinned or given, else builds the pinned module with Go. It appears in the cache whole or not at all; several processes
 * may install at once.
 *
 * @throws InstallRefused, DownloadFailed, ArchiveRefused, GoMissing, GoBuildFailed, NotThisEngine, or the signal's reason
 */
export async function installEngine(options: InstallOptions): Promise<InstalledEngine> {
  const { engine, progress } = options;
  if (!options.force) {
    const found = await findInstalled(options);
    if (found !== undefined) return found;
  }
  const releases = dirname(installedDir(options.cacheDir, engine));
  await mkdir(releases, { recursive: true });
  await removeLeftovers(releases);
  const draft = join(releases, `${draftPrefix}${randomUUID()}`);
  await mkdir(draft);
  try {
    await bring(options, draft);
    const program = join(draft, engine.program);
    const version = await versionOf(program, engine);
    if (version !== engine.version)
      throw new NotThisEngine(`it is ${engine.name} ${version}, but ${engine.version} is pinned`);
    const path = await publish(draft, options);
    progress.note(`${engine.name} ${version} is installed: ${path}`);
    return { path, version, found: false };
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function findInstalled({
  engine,
  env,
  cacheDir,
  progress,
}: InstallOptions): Promise<InstalledEngine | undefined> {
  const path = await findEngine(engine, { env, cacheDir });
  if (path === undefined) return undefined;
  try {
    return { path, version: await versionOf(path, engine), found: true };
  } catch (error) {
    if (!(error instanceof NotThisEngine)) throw error;
    progress.note(error.message);
    return undefined;
  }
}

/** Puts the program, and what belongs to it, into a directory. */
async function bring(options: InstallOptions, directory: string): Promise<void> {
  const { engine, progress } = options;
  const chosen = options.from === "go" ? undefined : chooseArchive(options);
  if (chosen !== undefined) {
    try {
      return await bringArchive(chosen, options, directory);
    } catch (error) {
      // Only what could not be had is made up for: a wrong archive is nothing to pass over.
      if (insistsOnArchive(options) || !(error instanceof DownloadFailed)) throw error;
      progress.note(error.message);
    }
  }
  const output = join(directory, engine.program);
  try {
    await buildWithGo({ ...options, source: engine.source, output, workDir: directory });
  } catch (error) {
    if (!(error instanceof GoMissing)) throw error;
    const otherwise = engine.release ? ", or pass --sha256 with the digest of a release archive that you trust" : "";
    throw new InstallRefused(`${error.message}: install Go${otherwise}`);
  }
}

function insistsOnArchive({ from, sha256, mirror }: InstallOptions): boolean {
  return from === "archive" || sha256 !== undefined || mirror !== undefined;
}

interface ChosenArchive {
  readonly url: string;
  readonly sha256: string;
  readonly files: Release["files"];
}

/** The archive to use; undefined when none has a digest to check it with, and none was asked for. */
function chooseArchive(options: InstallOptions): ChosenArchive | undefined {
  const { engine, platform = `${process.platform}-${process.arch}` } = options;
  const { release } = engine;
  const archive = release?.archives[platform];
  const insists = insistsOnArchive(options);
  if (release === undefined || archive === undefined) {
    if (insists) throw new InstallRefused(`${engine.name} has no release archive for ${platform}: use --from go`);
    return undefined;
  }
  const sha256 = options.sha256 ?? archive.sha256;
  if (sha256 !== undefined)
    return { url: archiveUrl(release, archive, options.mirror), sha256: sha256.toLowerCase(), files: release.files };
  const reason = `no SHA-256 is pinned for ${archive.name} of ${engine.name} ${engine.version}`;
  if (insists)
    throw new InstallRefused(`${reason}: pass --sha256 with a digest that you trust, or use --from go to build it`);
  options.progress.note(`${reason}, so it is built with Go (or pass --sha256 with a digest that you trust)`);
  return undefined;
}

/** Where an archive of a release is. */
export function archiveUrl(release: Release, archive: Archive, mirror = release.mirror): string {
  return mirror.endsWith(".zip") ? mirror : `${mirror}/${release.tag}/${archive.name}`;
}

async function bringArchive(chosen: ChosenArchive, options: InstallOptions, directory: string): Promise<void> {
  const { signal, progress, maxArchiveBytes = 128 * 1024 * 1024 } = options;
  const file = join(directory, "archive.zip");
  progress.note(`downloading ${chosen.url}`);
  const sha256 = await download({ url: chosen.url, file, maxBytes: maxArchiveBytes, signal, progress });
  if (sha256 !== chosen.sha256)
    throw new ArchiveRefused(`${chosen.url} has the SHA-256 ${sha256}, but it should be ${chosen.sha256}`);
  progress.note(`the SHA-256 is right; unpacking ${mebibytes((await stat(file)).size)}`);
  try {
    await unpack({ archive: file, directory, files: chosen.files, maxFileBytes: 256 * 1024 * 1024 });
  } catch (error) {
    if (error instanceof ArchiveRefused) throw new ArchiveRefused(`${chosen.url} is refused: ${error.message}`);
    throw error;
  }
  await rm(file);
}

/** Moves what is in a directory to its place in the cache, the program last: it is never there without the rest. */
async function publish(draft: string, { engine, cacheDir }: InstallOptions): Promise<string> {
  const target = installedDir(cacheDir, engine);
  const names = (await readdir(draft)).filter((name) => name !== engine.program);
  await mkdir(target, { recursive: true });
  for (const name of [...names, engine.program]) {
    await sync(join(draft, name));
    await rename(join(draft, name), join(target, name));
  }
  await sync(target);
  return installedPath(cacheDir, engine);
}

/** Sees to it that a file, or the names in a directory, outlive a crash. */
export async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Removes drafts that were left behind by who was killed: others may be at work, so only those that are a day old. */
export async function removeLeftovers(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith(draftPrefix)) continue;
    const path = join(directory, name);
    const { mtimeMs } = await stat(path).catch((error) => {
      if (isErrno(error, "ENOENT")) return { mtimeMs: Number.POSITIVE_INFINITY };
      throw error;
    });
    if (Date.now() - mtimeMs > 24 * 3_600_000) await rm(path, { recursive: true, force: true });
  }
}
