import { ApplyMode } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { EngineKind } from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import type { Engine, UsersOutcome } from "../../engines/engine.ts";
import { StartFailed } from "../../engines/engine-error.ts";
import { canonicalAddress } from "../../engines/sockets/ss-output.ts";
import { readUserName } from "../config/links.ts";
import { xrayRequest } from "../config/xray-request.ts";
import type { DrivenEngine } from "./driven-engine.ts";
import { withRefusedAddresses } from "./refused-addresses.ts";

/**
 * Drives Xray. `lives` counts how often the engine has started, or started again; `kicked` is told of what becomes of the
 * connections of users who have lost an inbound, where they are cut.
 */
export function createDrivenXray(
  engine: Engine,
  lives: () => number,
  kicked: (kick: UsersOutcome["kick"]) => void = () => undefined,
): DrivenEngine {
  let last: { readonly config: string; readonly users: number } | undefined;
  return {
    kind: EngineKind.XRAY,
    name: "xray",
    counted: engine,
    async apply(services, { isRefused, addressesOf }) {
      if (services?.xray === undefined) {
        last = undefined;
        if (engine.state === "stopped") return { mode: ApplyMode.ADOPTED, users: undefined, leftOut: [] };
        await engine.stop();
        return { mode: ApplyMode.RESTARTED, users: undefined, leftOut: [] };
      }
      const request = xrayRequest(services.xray);
      const users = request.users.filter(({ email }) => !isRefused(readUserName(email)?.uuid ?? ""));
      const before = lives();
      const uuidOf = (name: string) => readUserName(name)?.uuid ?? "";
      const config = withRefusedAddresses(request.config, users, (name) => addressesOf(uuidOf(name)));
      const { skipped, rejected, kick } = await engine.start({ ...request, config, users });
      kicked(kick);
      if (engine.state !== "running") throw new StartFailed("xray went away as soon as it had started");
      const isSame = last?.config === config;
      last = { config, users: users.length };
      const mode = lives() !== before ? ApplyMode.RESTARTED : isSame ? ApplyMode.ADOPTED : ApplyMode.LIVE;
      return { mode, users: users.length, leftOut: [...skipped, ...rejected] };
    },
    onlineNames: () => engine.onlineNames(),
    async addresses(name) {
      const online = await engine.online(name);
      return online && Object.fromEntries(Object.entries(online).map(([ip, begun]) => [canonicalAddress(ip), begun]));
    },
  };
}
