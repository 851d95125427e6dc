import { Effect, JobKind, MaintenanceService } from "../../../gen/garrison/node/v1/maintenance_pb.ts";
import { answerErrors } from "../../platform/rpc/interceptors/answer-errors.ts";
import { type ServedService, serveService } from "../../platform/rpc/served-service.ts";
import type { CoreUpdate } from "./core-update.ts";
import { answerTo } from "./errors.ts";
import type { GeoFiles } from "./geo-files.ts";
import type { Jobs, Work } from "./jobs.ts";

/** Options of {@link createMaintenanceService}. */
export interface MaintenanceServiceOptions {
  jobs: Jobs;
  coreUpdate: CoreUpdate;
  geoFiles: GeoFiles;
  nodeUpdate: Work;
  /** Has the node restart soon. */
  restart: () => void;
}

/** `garrison.node.v1.MaintenanceService`. */
export function createMaintenanceService(options: MaintenanceServiceOptions): ServedService {
  const { jobs, coreUpdate, geoFiles, nodeUpdate, restart } = options;
  return serveService(
    MaintenanceService,
    {
      check: () => ({ status: "ok" }),
      async updateNode() {
        const { detail } = await jobs.run({ kind: JobKind.NODE_UPDATE, subject: "", key: "" }, nodeUpdate);
        return { detail };
      },
      async updateCore(request) {
        const { assignment, work } = coreUpdate(request);
        const { detail, coreVersion = "", effect = Effect.UNSPECIFIED } = await jobs.run(assignment, work);
        return { detail, coreVersion, effect };
      },
      async updateGeoFiles(request) {
        const { assignment, work } = geoFiles(request);
        const { detail, effect = Effect.UNSPECIFIED } = await jobs.run(assignment, work);
        return { detail, effect };
      },
      async hardReset() {
        const { detail } = await jobs.run({ kind: JobKind.HARD_RESET, subject: "", key: "" }, async () => {
          restart();
          return { detail: "node restarted successfully" };
        });
        return { detail };
      },
      listJobs: () => ({ jobs: [...jobs.list] }),
    },
    { interceptors: [answerErrors(answerTo)] },
  );
}
