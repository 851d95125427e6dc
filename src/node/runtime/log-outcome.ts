import type { Logger } from "../../platform/telemetry/log.ts";
import type { UsersOutcome } from "../engines/engine.ts";

/** Logs what became of users: how many and why at info, who only at debug. */
export function logOutcome(log: Logger, { skipped, rejected }: UsersOutcome): void {
  if (skipped.length > 0) {
    log.info({ users: countUsers(skipped), reasons: tally(skipped.map(({ reason }) => reason)) }, "users skipped");
    log.debug({ skipped }, "users skipped");
  }
  if (rejected.length > 0) {
    // Why an engine refused a user is said in its own words, which name the user.
    const inbounds = tally(rejected.map(({ inbound }) => inbound));
    log.warn({ users: countUsers(rejected), inbounds }, "users rejected by the engine");
    log.debug({ rejected }, "users rejected by the engine");
  }
}

function countUsers(users: readonly { readonly email: string }[]): number {
  return new Set(users.map(({ email }) => email)).size;
}

function tally(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}
