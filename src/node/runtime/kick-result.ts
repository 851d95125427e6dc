import {
  type KickUsersResponse,
  type LeftReason,
  LeftReasonSchema,
} from "../../../gen/garrison/node/v1/connections_pb.ts";
import type { Logger } from "../../platform/telemetry/log.ts";

/** What can be told, in time, of the connections of users who lost an inbound. */
export type KickResult =
  | { readonly kind: "done"; readonly response: KickUsersResponse }
  /** The engine is still at it. */
  | { readonly kind: "pending" }
  | { readonly kind: "failed"; readonly reason: string };

/** Options of {@link followKicks}. */
export interface FollowKicksOptions {
  log: Logger;
  /** So many connections were cut. */
  onCut?: ((connections: number) => void) | undefined;
  /** How long a caller waits for a result. Default: 2 s. */
  waitMs?: number;
}

/** A function that tells log and counter of each kick, and the callers that wait for one what it came to. */
export function followKicks(
  options: FollowKicksOptions,
): (kick: Promise<KickUsersResponse> | undefined) => Promise<KickResult> | undefined {
  const { log, onCut, waitMs = 2_000 } = options;
  const follow = async (kick: Promise<KickUsersResponse>): Promise<KickResult> => {
    try {
      const response = await kick;
      const { cut, left, users } = response;
      onCut?.(cut);
      if (users.length === 0) return { kind: "done", response };
      log.info({ cut, left, users: users.length, reasons: reasonsIn(response) }, "connections of users cut");
      log.debug({ users }, "connections of users cut");
      return { kind: "done", response };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      log.warn({ reason }, "connections of users could not be cut");
      return { kind: "failed", reason };
    }
  };
  return (kick) => kick && inTime(follow(kick), waitMs);
}

/** The name of a reason, as REST spells it. */
export function nameOfReason(reason: LeftReason): string {
  return LeftReasonSchema.value[reason]?.localName.toLowerCase() ?? String(reason);
}

function reasonsIn({ users }: KickUsersResponse): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { reason } of users.flatMap(({ left }) => left)) {
    const name = nameOfReason(reason);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

async function inTime(result: Promise<KickResult>, waitMs: number): Promise<KickResult> {
  const { promise, resolve } = Promise.withResolvers<KickResult>();
  const timer = setTimeout(() => resolve({ kind: "pending" }), waitMs);
  try {
    return await Promise.race([result, promise]);
  } finally {
    clearTimeout(timer);
  }
}
