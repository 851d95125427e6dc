import { create } from "@bufbuild/protobuf";
import type { KickUsersResponse } from "../../../../gen/garrison/node/v1/connections_pb.ts";
import { BaseInfoResponse_KickSchema } from "../../../../gen/service/node_pb.ts";
import { type EngineConnections, InboundUnknown } from "../connections.ts";
import type { ConnectionCutter } from "../sockets/connection-cutter.ts";
import type { XrayApi } from "./api.ts";
import type { Scene } from "./cut-off.ts";
import { Kicks } from "./kicks.ts";
import type { Loss } from "./losses.ts";
import type { Plan } from "./plan.ts";

/** The live connections of Xray's users. */
export interface XrayConnections extends EngineConnections {
  /**
   * Begins to cut off users who have lost inbounds. Undefined when there are none. The promise may be left alone, and
   * rejects when Xray goes away.
   */
  lost(losses: readonly Loss[]): Promise<KickUsersResponse> | undefined;
}

/** Makes what cuts connections of the Xray that runs. `running` throws when none does. */
export function createXrayConnections(
  cutter: ConnectionCutter,
  running: () => { api: XrayApi; plan: Plan },
): XrayConnections {
  const kicks = new Kicks(cutter);
  const kick = async (losses: readonly Loss[]) => kicks.kick(losses, sceneOf(running));
  return {
    ability: create(BaseInfoResponse_KickSchema, {
      available: cutter.inability === undefined,
      reason: cutter.inability ?? "",
    }),
    async kick({ emails, inbounds }) {
      const { config } = running().plan;
      const tags = inbounds.length > 0 ? inbounds : config.inbounds.map(({ tag }) => tag);
      const listeners = tags.map((tag) => {
        const listener = config.listeners.get(tag);
        if (listener === undefined) throw new InboundUnknown(tag);
        return listener;
      });
      return kick(emails.map((email) => ({ email, listeners })));
    },
    lost(losses) {
      if (losses.length === 0) return undefined;
      const done = kick(losses);
      done.catch(() => undefined);
      return done;
    },
  };
}

function sceneOf(running: () => { api: XrayApi; plan: Plan }): Scene {
  const { api } = running();
  // Users come and go while connections are looked up.
  const now = () => running().plan;
  return {
    api,
    mayConnect: (email) => now().table.has(email) || now().config.writtenUsers.has(email),
    mayConnectBeside(email, listeners) {
      const { config, table } = now();
      const isOther = ({ tag }: { tag: string }) => !listeners.some((listener) => listener.tag === tag);
      return config.writtenUsers.has(email) || config.inbounds.some((it) => isOther(it) && table.holds(it.tag, email));
    },
  };
}
