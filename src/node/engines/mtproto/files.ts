import { chmod, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../../../platform/errno.ts";
import { replaceFile } from "../../../platform/files/replace-file.ts";
import type { RenderedConfig } from "./render.ts";

/** Where the files of an inbound lie. */
export interface InboundFiles {
  /** For telemt's own files, too. Only this user can look into it. */
  readonly directory: string;
  readonly main: string;
  readonly access: string;
  /** Where it is noted which process runs. */
  readonly record: string;
}

/** The files of an inbound, in a directory of its own below `runDir`. */
export function filesOf(runDir: string, inbound: string): InboundFiles {
  return filesIn(join(runDir, `${prefix}${inbound}`));
}

/** The files of all inbounds that were ever run there. */
export async function allFiles(runDir: string): Promise<readonly InboundFiles[]> {
  try {
    const names = await readdir(runDir);
    return names.filter((name) => name.startsWith(prefix)).map((name) => filesIn(join(runDir, name)));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** Writes what telemt reads, each file whole or not at all, as far as it is not the same as what was written before. */
export async function writeConfig(files: InboundFiles, config: RenderedConfig, before?: RenderedConfig): Promise<void> {
  if (before === undefined) {
    await mkdir(files.directory, { recursive: true, mode: 0o700 });
    await chmod(files.directory, 0o700);
  }
  // The marker in the second tells that both are read.
  if (config.main !== before?.main) await replaceFile(files.main, config.main);
  if (config.access !== before?.access) await replaceFile(files.access, config.access);
}

/** Removes what was written, which holds secrets. telemt's own files stay. */
export async function removeConfig({ main, access }: InboundFiles): Promise<void> {
  await rm(access, { force: true });
  await rm(main, { force: true });
}

const prefix = "mtproto-";

function filesIn(directory: string): InboundFiles {
  return {
    directory,
    main: join(directory, "telemt.toml"),
    access: join(directory, "access.toml"),
    record: join(directory, "process.json"),
  };
}
