import { ConnectionService } from "../../../gen/garrison/node/v1/connections_pb.ts";
import { answerErrors } from "../../platform/rpc/interceptors/answer-errors.ts";
import { type ServedService, serveService } from "../../platform/rpc/served-service.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { noteActivity } from "./activity.ts";
import { answerTo } from "./errors.ts";

/** Options of {@link createConnectionService}. */
export interface ConnectionServiceOptions {
  runtime: Pick<Runtime, "kick" | "touch">;
  /** Connections are cut at all. If not, every call is refused, and its rules need not be loaded. */
  enabled: boolean;
}

/** `garrison.node.v1.ConnectionService` over a runtime. */
export function createConnectionService({ runtime, enabled }: ConnectionServiceOptions): ServedService {
  return serveService(
    ConnectionService,
    { kickUsers: (request) => runtime.kick(request) },
    { validated: enabled, interceptors: [answerErrors(answerTo), noteActivity(runtime.touch)] },
  );
}
