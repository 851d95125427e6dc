import { create } from "@bufbuild/protobuf";
import { type Stat, type StatRequest, StatSchema, StatType } from "../../../gen/service/node_pb.ts";
import type { TrafficCounter, TrafficKind } from "../engines/engine.ts";
import type { TrafficQuery } from "../runtime/traffic.ts";

/** The request names no counters. The message says why, in the words of the original. */
export class InvalidStatRequest extends Error {
  override readonly name = "InvalidStatRequest";
}

/**
 * Which counters a request asks for.
 *
 * @throws InvalidStatRequest for an unknown type, or without a name where the type needs one.
 */
export function trafficQueryOf(request: StatRequest): TrafficQuery {
  const { name, reset } = request;
  const one = (kind: TrafficKind, missing: string) => {
    if (name === "") throw new InvalidStatRequest(missing);
    return { kind, name, reset };
  };
  switch (request.type) {
    case StatType.Outbounds:
      return { kind: "outbound", name: undefined, reset };
    case StatType.Outbound:
      return one("outbound", "tag required");
    case StatType.Inbounds:
      return { kind: "inbound", name: undefined, reset };
    case StatType.Inbound:
      return one("inbound", "tag required");
    case StatType.UsersStat:
      return { kind: "user", name: undefined, reset };
    case StatType.UserStat:
      return one("user", "email required");
    default:
      throw new InvalidStatRequest("not implemented stat type");
  }
}

/** Whom a request about who is online asks about. Throws {@link InvalidStatRequest} without a name. */
export function emailOf({ name }: StatRequest): string {
  if (name === "") throw new InvalidStatRequest("email required");
  return name;
}

/**
 * Counters as the contract has them: one for each direction. Of all users those that are zero are left out, since on a
 * large node they are nearly all, and no caller looks at them. WireGuard's never tell a user's zeros, and are named from
 * the server's side: up is what it has sent.
 */
export function statsOf(counters: readonly TrafficCounter[], { kind, name }: TrafficQuery): Stat[] {
  const stats: Stat[] = [];
  for (const { name: of, link, uplinkBytes, downlinkBytes } of counters) {
    const isWireGuards = link !== xrayLink;
    const withZeros = kind !== "user" || (name !== undefined && !isWireGuards);
    const [up, down] = isWireGuards ? [downlinkBytes, uplinkBytes] : [uplinkBytes, downlinkBytes];
    if (withZeros || up > 0n) stats.push({ ...empty, name: of, link, type: "uplink", value: up });
    if (withZeros || down > 0n) stats.push({ ...empty, name: of, link, type: "downlink", value: down });
  }
  return stats;
}

/** What the counters of Xray are called. */
const xrayLink = "traffic";
// Copied: to make a message costs several times as much, and of a large node there are a hundred thousand.
const empty: Stat = create(StatSchema);
