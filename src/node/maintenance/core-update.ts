import { Effect, JobKind, type UpdateCoreRequest } from "../../../gen/garrison/node/v1/maintenance_pb.ts";
import type { Env } from "../../platform/config/variables.ts";
import type { EngineProgram } from "../engines/engine.ts";
import { DownloadFailed } from "../engines/install/download.ts";
import { archiveUrl, InstallRefused, installEngine } from "../engines/install/install.ts";
import { installedPath } from "../engines/install/locate.ts";
import { type PinnedEngine, pinnedEngines } from "../engines/install/pinned.ts";
import type { Progress } from "../engines/install/progress.ts";
import { NotThisEngine, versionOf } from "../engines/install/version.ts";
import { latestVersion, readCoreVersion } from "./core-version.ts";
import { digestAt } from "./digest.ts";
import type { Assignment, Work } from "./jobs.ts";
import { keepCore, withExecutable } from "./kept-core.ts";
import type { Program } from "./program.ts";
import { ReleaseNotFound } from "./situations.ts";

/** Options of {@link createCoreUpdate}. */
export interface CoreUpdateOptions {
  program: Program;
  /** The program that the settings name. */
  configured: EngineProgram;
  /** The file that keeps the choice over restarts of the node. */
  keptIn: string;
  /** Where engines are installed. Absolute. */
  cacheDir: string;
  /** Where releases are. Default: the project's own. */
  mirror: string | undefined;
  env: Env;
}

/** Reads a request for a release of Xray. The work installs it, and changes over to it. Throws {@link UnusableRequest}. */
export type CoreUpdate = (request: UpdateCoreRequest) => { assignment: Assignment; work: Work };

/** Makes the core update of a node. */
export function createCoreUpdate(options: CoreUpdateOptions): CoreUpdate {
  const { program, configured, keptIn } = options;
  const { release } = pinnedEngines.xray;
  const mirror = options.mirror ?? release?.mirror;
  if (release === undefined || mirror === undefined) throw new InstallRefused("xray has no releases");
  return ({ coreVersion, sha256, defer }) => {
    const wanted = readCoreVersion(coreVersion);
    const assignment = {
      kind: JobKind.CORE_UPDATE,
      subject: wanted,
      key: `${wanted} ${sha256.toLowerCase()} ${defer}`,
    };
    const work: Work = async (signal, progress) => {
      const version = wanted === "latest" ? await latestVersion({ mirror, signal }) : wanted;
      const engine = { ...pinnedEngines.xray, version, release: { ...release, tag: `v${version}` } };
      const executable = await install({ ...options, mirror, engine, sha256, signal, progress });
      const next = await withExecutable(configured, executable);
      if (defer) await program.try(next);
      const restarted = await program.use(next, { restart: !defer });
      await keepCore(keptIn, executable, configured.executable);
      const effect = restarted ? Effect.NOW : Effect.NEXT_START;
      return { detail: "node core updated successfully", coreVersion: version, effect };
    };
    return { assignment, work };
  };
}

interface Installation {
  readonly engine: PinnedEngine & Required<Pick<PinnedEngine, "release">>;
  readonly cacheDir: string;
  readonly mirror: string;
  readonly env: Env;
  readonly sha256: string;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/** Installs the release of this version, unless it was installed before. Returns the path of its program. */
async function install(installation: Installation): Promise<string> {
  const { engine, cacheDir, sha256, progress } = installation;
  const there = installedPath(cacheDir, engine);
  if (sha256 === "" && (await isInstalled(there, engine))) {
    progress.note(`xray ${engine.version} is installed already`);
    return there;
  }
  const expected = sha256 || (await digestOf(installation));
  const installed = await installEngine({ ...installation, sha256: expected, from: "archive", force: true });
  return installed.path;
}

async function isInstalled(path: string, engine: PinnedEngine): Promise<boolean> {
  try {
    return (await versionOf(path, engine)) === engine.version;
  } catch (error) {
    if (error instanceof NotThisEngine) return false;
    throw error;
  }
}

async function digestOf({ engine, mirror, signal, progress }: Installation): Promise<string> {
  const { release, version } = engine;
  const machine = `${process.platform}-${process.arch}`;
  const archive = release.archives[machine];
  if (archive === undefined) throw new ReleaseNotFound(`xray has no release archive for ${machine}`);
  try {
    return await digestAt(`${archiveUrl(release, archive, mirror)}.dgst`, signal, progress);
  } catch (error) {
    if (!(error instanceof DownloadFailed) || error.status !== 404) throw error;
    throw new ReleaseNotFound(`there is no xray ${version}, or none with a digest: ${error.message}`);
  }
}
