import { create } from "@bufbuild/protobuf";
import { type Latency, LatencySchema } from "../../../../gen/service/node_pb.ts";
import { ObservatoryService } from "../../../../gen/xray/core/app/observatory/command/command_pb.ts";
import { EngineUnreachable } from "../engine-error.ts";
import { type XrayApi, XrayRefusal } from "./api.ts";

/** What of a config says what is measured. */
export interface Observed {
  /** It has an observatory: only then Xray offers to tell. */
  readonly observed: boolean;
  /** Tags of outbounds that lead nowhere. */
  readonly idleOutbounds: ReadonlySet<string>;
}

/**
 * What the observatory has measured, but of outbounds that lead nowhere: a selector is a beginning of tags, and may
 * have chosen them too. Undefined when it has measured nothing yet.
 */
export async function readLatencies(api: XrayApi, config: Observed): Promise<Latency[] | undefined> {
  if (!config.observed) return undefined;
  const { status } = await api.call(ObservatoryService.method.getOutboundStatus, {}, 5_000).catch((error) => {
    throw error instanceof XrayRefusal ? new EngineUnreachable(error.message) : error;
  });
  const outbounds = (status?.status ?? []).filter(({ outboundTag }) => !config.idleOutbounds.has(outboundTag));
  if (outbounds.length === 0) return undefined;
  return outbounds.map(({ outboundTag, alive, delay, lastSeenTime, lastTryTime }) =>
    create(LatencySchema, {
      name: outboundTag,
      link: outboundTag,
      alive,
      delay,
      lastSeenTime,
      lastTryTime,
      source: "xray-observatory",
    }),
  );
}
