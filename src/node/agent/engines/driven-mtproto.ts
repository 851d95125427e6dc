import { clone } from "@bufbuild/protobuf";
import { ApplyMode } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import {
  type MtProtoServiceConfig,
  MtProtoServiceConfigSchema,
  type NodeServices,
} from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { EngineKind } from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import type { OnlineAddresses } from "../../engines/engine.ts";
import { StartFailed } from "../../engines/engine-error.ts";
import type { MtProtoEngine } from "../../engines/mtproto/mtproto-engine.ts";
import type { DrivenEngine } from "./driven-engine.ts";

/**
 * Drives MTProto. Addresses that are refused are none of its business: telemt has a limit of its own for each link. The
 * engine is made when a config first asks for it; `make` gives none where telemt is not installed.
 */
export function createDrivenMtproto(make: () => Promise<MtProtoEngine | undefined>, lives: () => number): DrivenEngine {
  let engine: MtProtoEngine | undefined;
  let online: ReadonlyMap<string, OnlineAddresses> | undefined;

  async function opened(): Promise<MtProtoEngine> {
    engine ??= await make();
    if (engine !== undefined) return engine;
    throw new StartFailed("telemt is not installed on this node: put it in the PATH, or name it in TELEMT_PATH");
  }

  return {
    kind: EngineKind.MTPROTO,
    name: "mtproto",
    get counted() {
      return engine;
    },
    async check(services) {
      if (wantedOf(services) !== undefined) await opened();
    },
    async apply(services, { isRefused }) {
      const wanted = wantedOf(services);
      if (wanted === undefined) {
        if (engine === undefined || engine.state === "stopped")
          return { mode: ApplyMode.ADOPTED, users: undefined, leftOut: [] };
        await engine.stop();
        return { mode: ApplyMode.RESTARTED, users: undefined, leftOut: [] };
      }
      const running = await opened();
      const config = clone(MtProtoServiceConfigSchema, wanted);
      let users = 0;
      for (const inbound of config.inbounds) {
        inbound.users = inbound.users.filter(({ linkUuid }) => !isRefused(linkUuid));
        users += inbound.users.length;
      }
      const before = lives();
      const { skipped } = await running.apply(config);
      return { mode: lives() === before ? ApplyMode.LIVE : ApplyMode.RESTARTED, users, leftOut: skipped };
    },
    async onlineNames() {
      online = await engine?.onlineUsers();
      return online && new Set(online.keys());
    },
    // telemt tells of all users at once, or of none.
    addresses: async (name) => online?.get(name),
  };
}

/** What telemt is to run. Undefined: nothing. */
function wantedOf(services: NodeServices | undefined): MtProtoServiceConfig | undefined {
  return services?.mtproto?.inbounds.length ? services.mtproto : undefined;
}
