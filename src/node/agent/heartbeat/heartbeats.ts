import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { HeartbeatRequestSchema, type HeartbeatResponse } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { ClockStatusSchema } from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import { pause } from "../../../platform/pause.ts";
import type { Logger } from "../../../platform/telemetry/log.ts";
import { createBackoff, jittered } from "../contact/backoff.ts";
import type { Contact } from "../contact/contact.ts";
import type { CoreClock } from "../contact/core-clock.ts";

/** Options of {@link runHeartbeats}. */
export interface HeartbeatOptions {
  readonly contact: Pick<Contact, "call">;
  readonly clock: CoreClock;
  /** Milliseconds that only grow. */
  readonly uptime: () => number;
  /** Milliseconds between heartbeats. */
  readonly periodMs: () => number;
  /** Milliseconds within which the first try after a failure comes. */
  readonly reconnectMs: () => number;
  /** What is told; the clock is added. */
  readonly describe: () => Promise<MessageInitShape<typeof HeartbeatRequestSchema>>;
  /** Core has answered. */
  readonly answered: (answer: HeartbeatResponse) => Promise<void>;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

const timeoutMs = 10_000;

/** Tells Core that the node is alive, now and again and again, until the signal aborts. Never rejects. */
export async function runHeartbeats(options: HeartbeatOptions): Promise<void> {
  const { contact, clock, uptime, signal, log } = options;
  const backoff = createBackoff({ firstMs: options.reconnectMs });
  while (!signal.aborted) {
    let waitMs: number;
    try {
      const described = await options.describe();
      const offsetMs = clock.offsetMs();
      const request = create(HeartbeatRequestSchema, {
        ...described,
        clock: create(ClockStatusSchema, {
          unixMs: BigInt(Date.now()),
          ...(offsetMs !== undefined && { offsetMs: BigInt(offsetMs) }),
        }),
      });
      const answer = await contact.call(
        async (core, call) => {
          const sentAt = uptime();
          const heard = await core.heartbeat(request, call);
          if (heard.serverTimeMs !== undefined) clock.heard(Number(heard.serverTimeMs), sentAt, uptime());
          return heard;
        },
        { timeoutMs, signal },
      );
      backoff.reset();
      await options.answered(answer);
      waitMs = jittered(options.periodMs()); // which the answer may have changed
    } catch (error) {
      // A Core that comes back hears from its nodes soon, but not from all at once.
      waitMs = Math.min(jittered(options.periodMs()), backoff.after(error));
      if (!signal.aborted) log.debug({ reason: error instanceof Error ? error.message : error }, "no heartbeat");
    }
    await pause(waitMs, signal);
  }
}
