import type { InboundUsage } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { InboundTotal, UsageRow } from "./usage-store.ts";

/** What a report has of inbounds as wholes, and of their users, by node protocol. */
export function inboundTotals(
  inbounds: readonly InboundUsage[],
  rows: readonly Pick<UsageRow, "nodeProtocolId" | "bytesUp" | "bytesDown">[],
): InboundTotal[] {
  const totals = new Map<number, { bytesUp: bigint; bytesDown: bigint; userBytes: bigint }>();
  const totalOf = (nodeProtocolId: number) => {
    const total = totals.get(nodeProtocolId) ?? { bytesUp: 0n, bytesDown: 0n, userBytes: 0n };
    totals.set(nodeProtocolId, total);
    return total;
  };
  for (const { nodeProtocolId, bytesUp, bytesDown } of inbounds) {
    const total = totalOf(Number(nodeProtocolId));
    total.bytesUp += bytesUp;
    total.bytesDown += bytesDown;
  }
  for (const { nodeProtocolId, bytesUp, bytesDown } of rows) totalOf(nodeProtocolId).userBytes += bytesUp + bytesDown;
  return Array.from(totals, ([nodeProtocolId, total]) => ({ nodeProtocolId, ...total })).sort(
    (a, b) => a.nodeProtocolId - b.nodeProtocolId,
  );
}

/**
 * Users are not counted in full, or twice. Inbounds count what is on the wire: handshakes, encryption and whoever is not
 * let in, up to a quarter of what users have. Users have no more than their inbound, but what was counted a moment later.
 */
export function drifts(inboundBytes: bigint, userBytes: bigint): boolean {
  const more = inboundBytes - userBytes;
  return more > 0n ? more > leastApart && more * 4n > userBytes : -more > leastApart && -more * 20n > inboundBytes;
}

const leastApart = 16n * 1024n * 1024n;
