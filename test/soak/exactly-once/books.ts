import type { Client } from "@connectrpc/connect";
import type { SubscriptionService } from "../../../gen/garrison/core/v1/subscriptions_pb.ts";
import type { CoreSchema } from "../../../src/core/store/schema.ts";
import type { Database } from "../../../src/platform/storage/database.ts";

/** What Core knows of traffic. */
export interface Books {
  /** Bytes in both directions, by subscription: the sum of the rows, which is what the fleet API says. */
  readonly booked: ReadonlyMap<number, number>;
  /** Bytes of entries that were set aside, by subscription; 0: of none. */
  readonly aside: ReadonlyMap<number, number>;
  /** Gaps that the node has told. `readAt` is in milliseconds since 1970. */
  readonly gaps: readonly { readonly pid: number; readonly readAt: number | undefined }[];
  /** What does not agree with itself. */
  readonly wrong: readonly string[];
}

/** Reads them, of the database and of the fleet API. */
export async function readBooks(
  { db }: Database<CoreSchema>,
  subscriptions: Client<typeof SubscriptionService>,
): Promise<Books> {
  const wrong: string[] = [];
  const booked = new Map<number, number>();
  const rows = await db
    .selectFrom("usage_minute")
    .select(["subscription_id", "link_uuid", "bytes_up", "bytes_down"])
    .execute();
  for (const { subscription_id, link_uuid, bytes_up, bytes_down } of rows) {
    booked.set(subscription_id, (booked.get(subscription_id) ?? 0) + Number(bytes_up + bytes_down));
    if (subscription_id === 0) wrong.push(`${bytes_up + bytes_down} bytes of the link ${link_uuid} are nobody's`);
  }
  for (let pageToken = "", isFirst = true; isFirst || pageToken !== ""; isFirst = false) {
    const page = await subscriptions.listSubscriptions({ pageSize: 1_000, pageToken });
    for (const { id, bytesUp, bytesDown } of page.subscriptions) {
      const sum = booked.get(Number(id)) ?? 0;
      if (Number(bytesUp + bytesDown) !== sum)
        wrong.push(`subscription ${id} shows ${bytesUp + bytesDown} bytes, and its rows ${sum}`);
    }
    pageToken = page.nextPageToken;
  }
  const aside = new Map<number, number>();
  for (const { kind, reason, entry } of await db.selectFrom("quarantined_entry").selectAll().execute()) {
    const { subscriptionId = 0, bytesUp = 0, bytesDown = 0 } = JSON.parse(entry) as Record<string, number>;
    if (kind === "usage" && Number(subscriptionId) === 0) wrong.push(`set aside, ${reason}: ${entry}`);
    if (kind !== "usage") continue;
    aside.set(Number(subscriptionId), (aside.get(Number(subscriptionId)) ?? 0) + Number(bytesUp) + Number(bytesDown));
  }
  const lost = await db.selectFrom("node_stream_gap").selectAll().execute();
  for (const { kind, from_seq, to_seq } of lost) wrong.push(`batches ${from_seq} to ${to_seq} of ${kind} are lost`);
  const told = await db.selectFrom("audit").select("details").where("action", "=", "node.lose-usage").execute();
  const gaps = told.map(({ details }) => {
    const { incarnation = "", readAt } = JSON.parse(details) as { incarnation?: string; readAt?: number };
    return { pid: Number(incarnation.split("/")[1]), readAt };
  });
  return { booked, aside, gaps, wrong };
}
