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

/** Makes the directory of an inbound, and closes it to other users. */
export async function makeDirectory({ directory }: InboundFiles): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
}

/** What telemt reads, as it lies on the disk; undefined where nobody has written it yet. */
export interface OnDisk {
  main: string | undefined;
  access: string | undefined;
}

/** Writes what telemt reads, each file whole or not at all, as far as it is not there already. */
export async function writeConfig(
  files: InboundFiles,
  { main, access }: Pick<RenderedConfig, "main" | "access">,
  onDisk: OnDisk,
): Promise<void> {
  if (main !== onDisk.main) await replaceFile(files.main, main);
  onDisk.main = main;
  // Last, since the marker in it tells that both are read.
  if (access !== onDisk.access) await replaceFile(files.access, access);
  onDisk.access = access;
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
