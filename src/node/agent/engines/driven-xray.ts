import { ApplyMode } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { EngineKind } from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import type { Engine } from "../../engines/engine.ts";
import { StartFailed } from "../../engines/engine-error.ts";
import { readUserName } from "../config/links.ts";
import { xrayRequest } from "../config/xray-request.ts";
import type { DrivenEngine } from "./driven-engine.ts";

/** Drives Xray. `lives` counts how often the engine has started, or started again. */
export function createDrivenXray(engine: Engine, lives: () => number): DrivenEngine {
  let last: { readonly config: string; readonly users: number } | undefined;
  return {
    kind: EngineKind.XRAY,
    name: "xray",
    counted: engine,
    async apply(services, isRefused) {
      if (services?.xray === undefined) {
        last = undefined;
        if (engine.state === "stopped") return { mode: ApplyMode.ADOPTED, users: undefined, leftOut: [] };
        await engine.stop();
        return { mode: ApplyMode.RESTARTED, users: undefined, leftOut: [] };
      }
      const request = xrayRequest(services.xray);
      const users = request.users.filter(({ email }) => !isRefused(readUserName(email)?.uuid ?? ""));
      const before = lives();
      const { skipped, rejected } = await engine.start({ ...request, users });
      if (engine.state !== "running") throw new StartFailed("xray went away as soon as it had started");
      const isSame = last?.config === request.config;
      last = { config: request.config, users: users.length };
      const mode = lives() !== before ? ApplyMode.RESTARTED : isSame ? ApplyMode.ADOPTED : ApplyMode.LIVE;
      return { mode, users: users.length, leftOut: [...skipped, ...rejected] };
    },
    onlineNames: () => engine.onlineNames(),
    addresses: (name) => engine.online(name),
  };
}
