import { chmod, link, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Effect, JobKind, type UpdateGeoFilesRequest } from "../../../gen/garrison/node/v1/maintenance_pb.ts";
import { isErrno } from "../../platform/errno.ts";
import { download } from "../engines/install/download.ts";
import { draftPrefix, removeLeftovers, sync } from "../engines/install/install.ts";
import type { Progress } from "../engines/install/progress.ts";
import { digestAt } from "./digest.ts";
import type { Assignment, Work } from "./jobs.ts";
import type { Program } from "./program.ts";
import { AssetsNotWritable, DigestRefused, UnusableRequest } from "./situations.ts";

/** Options of {@link createGeoFiles}. */
export interface GeoFilesOptions {
  program: Program;
  /** The directory of the files. */
  assets: string;
  /** A directory with `<region>/geoip.dat` and the like, without a slash at its end. Default: the releases of a project of each region. */
  mirror: string | undefined;
}

/** Reads a request for geodata. The work brings them, and has Xray use them. Throws {@link UnusableRequest}. */
export type GeoFiles = (request: UpdateGeoFilesRequest) => { assignment: Assignment; work: Work };

/** Where the geodata of a region are published, each with its digest beside it. */
const publishedAt: ReadonlyMap<string, string> = new Map([
  ["iran", "https://github.com/Chocolate4U/Iran-v2ray-rules/releases/latest/download"],
  ["russia", "https://github.com/runetfreedom/russia-v2ray-rules-dat/releases/latest/download"],
  ["china", "https://github.com/Loyalsoldier/v2ray-rules-dat/releases/latest/download"],
]);
const fileNames = ["geoip.dat", "geosite.dat"];
const maxFileBytes = 256 * 1024 * 1024;

/** Makes what brings geodata to a node. */
export function createGeoFiles({ program, assets, mirror }: GeoFilesOptions): GeoFiles {
  return ({ region, defer }) => {
    const regions = [...publishedAt.keys()].join(", ");
    if (region === "") throw new UnusableRequest(`region is required: ${regions}`);
    const published = publishedAt.get(region);
    if (published === undefined) throw new UnusableRequest(`Unsupported region ${region}: there are ${regions}`);
    const source = mirror === undefined ? published : `${mirror}/${region}`;
    const work: Work = async (signal, progress) => {
      const draft = await openDraft(assets);
      try {
        for (const name of fileNames) await bring(`${source}/${name}`, join(draft, name), signal, progress);
        await program.try({ assets: draft });
        const undo = await publish(draft, assets);
        const restarted = await program.use({ assets }, { restart: !defer }).catch(async (error: unknown) => {
          await undo();
          throw error;
        });
        return { detail: "geofiles updated successfully", effect: restarted ? Effect.NOW : Effect.NEXT_START };
      } finally {
        await rm(draft, { recursive: true, force: true });
      }
    };
    return { assignment: { kind: JobKind.GEO_FILES, subject: region, key: `${region} ${defer}` }, work };
  };
}

async function openDraft(assets: string): Promise<string> {
  try {
    await mkdir(assets, { recursive: true });
    await removeLeftovers(assets);
    return await mkdtemp(join(assets, draftPrefix));
  } catch (error) {
    const refused = ["EACCES", "EPERM", "EROFS", "ENOTDIR", "EEXIST", "ENOSPC"].some((code) => isErrno(error, code));
    if (refused && error instanceof Error) throw new AssetsNotWritable(assets, error);
    throw error;
  }
}

async function bring(url: string, file: string, signal: AbortSignal, progress: Progress): Promise<void> {
  progress.note(`downloading ${url}`);
  const expected = await digestAt(`${url}.sha256sum`, signal, progress);
  const sha256 = await download({ url, file, maxBytes: maxFileBytes, signal, progress });
  if (sha256 !== expected) throw new DigestRefused(`${url} has the SHA-256 ${sha256}, but it should be ${expected}`);
  await chmod(file, 0o644); // the engine may be another user's
  await sync(file);
}

/** Puts the files of a draft in their place, each at once. Returns what brings back those that were there. */
async function publish(draft: string, assets: string): Promise<() => Promise<void>> {
  const before = (name: string) => join(draft, `before-${name}`);
  for (const name of fileNames) {
    await link(join(assets, name), before(name)).catch((error: unknown) => {
      if (!isErrno(error, "ENOENT")) throw error; // there was none
    });
  }
  const undo = async () => {
    for (const name of fileNames) {
      await rename(before(name), join(assets, name)).catch(async (error: unknown) => {
        if (!isErrno(error, "ENOENT")) throw error;
        await rm(join(assets, name), { force: true });
      });
    }
  };
  try {
    for (const name of fileNames) await rename(join(draft, name), join(assets, name));
    await sync(assets);
  } catch (error) {
    await undo();
    throw error;
  }
  return undo;
}
