import type { OutboundUsageItem } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { Aside, Booking, OutboundTotal } from "./usage-store.ts";

/** Books traffic of a node's outbounds on their counters. Returns how many items were kept aside. */
export async function bookOutboundUsage(
  booking: Booking,
  nodeId: number,
  items: readonly OutboundUsageItem[],
  now: number,
): Promise<number> {
  const tags = await booking.outboundTags(nodeId);
  const totals = new Map<string, OutboundTotal>();
  const aside: Aside[] = [];
  for (const item of items) {
    const { tag, bytesUp, bytesDown } = item;
    const reason = faultOf(item, tags);
    if (reason !== undefined) {
      aside.push({ reason, entry: item });
      continue;
    }
    const total = totals.get(tag);
    totals.set(tag, {
      tag,
      bytesUp: bytesUp + (total?.bytesUp ?? 0n),
      bytesDown: bytesDown + (total?.bytesDown ?? 0n),
    });
  }
  await booking.addToOutbounds(
    nodeId,
    [...totals.values()].sort((a, b) => (a.tag < b.tag ? -1 : 1)),
  );
  await booking.keepAside(nodeId, "outbound_usage", aside, now);
  return aside.length;
}

function faultOf({ tag, bytesUp, bytesDown }: OutboundUsageItem, tags: ReadonlySet<string>): string | undefined {
  if (bytesUp < 0n || bytesDown < 0n) return "bytes are negative";
  if (bytesUp > mostBytes || bytesDown > mostBytes) return "more bytes than a network can carry";
  return tags.has(tag) ? undefined : "the node has no such outbound";
}

// So that sums over a batch stay within 63 bits.
const mostBytes = 2n ** 50n;
