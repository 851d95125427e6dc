import type { KickUsersRequest, KickUsersResponse } from "../../../gen/garrison/node/v1/connections_pb.ts";
import type { BaseInfoResponse_Kick } from "../../../gen/service/node_pb.ts";

/** The live connections of an engine's users, where those who may not connect any more have to be cut off. */
export interface EngineConnections {
  /** Whether it can cut any. */
  readonly ability: BaseInfoResponse_Kick;
  /**
   * Cuts connections of users now, whether they may connect or not. Throws {@link InboundUnknown}, and what an engine
   * throws that does not answer. Takes a few seconds at the most.
   */
  kick(request: Pick<KickUsersRequest, "emails" | "inbounds">): Promise<KickUsersResponse>;
}

/** The config has no such inbound. */
export class InboundUnknown extends Error {
  override readonly name = "InboundUnknown";

  constructor(tag: string) {
    super(`no inbound has the tag ${JSON.stringify(tag)}`);
  }
}
