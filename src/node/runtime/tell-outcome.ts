import type { Logger } from "../../platform/telemetry/log.ts";
import type { RejectedUser, SkippedUser, UsersOutcome } from "../engines/engine.ts";
import type { LogRing } from "./log-ring.ts";

/** Who is told what became of users. */
export interface OutcomeHearers {
  readonly log: Logger;
  /** What viewers of the engine's log read: they know the users. */
  readonly lines: Pick<LogRing, "push">;
  /** So many users were skipped on inbounds for this reason, out of a few. */
  readonly onSkipped?: ((reason: string, count: number) => void) | undefined;
}

/**
 * Tells what became of users: the log how many and why, and who only at debug; viewers of the engine's log who was
 * left out where and why: of those whom the engine refused unless the caller `isTold` in the answer.
 */
export function tellOutcome(
  { log, lines, onSkipped }: OutcomeHearers,
  { skipped, rejected }: UsersOutcome,
  { isTold }: { readonly isTold: boolean },
): void {
  if (skipped.length > 0) {
    const reasons = tally(skipped.map(({ reason }) => reason));
    log.info({ users: countUsers(skipped), reasons }, "users skipped");
    log.debug({ skipped }, "users skipped");
    for (const [reason, count] of Object.entries(reasons)) onSkipped?.(reason, count);
  }
  if (rejected.length > 0) {
    // Why an engine refused a user is said in its own words, which name the user.
    const inbounds = tally(rejected.map(({ inbound }) => inbound));
    log.warn({ users: countUsers(rejected), inbounds }, "users rejected by the engine");
    log.debug({ rejected }, "users rejected by the engine");
  }
  for (const line of listed(isTold ? skipped : [...skipped, ...rejected])) lines.push(line);
}

// More at once would push out what else there is to read.
const listMax = 100;
// An e-mail comes from outside, and is as long as that likes.
const emailMax = 100;
const lineMax = 500;

function listed(leftOut: readonly (SkippedUser | RejectedUser)[]): string[] {
  const list = leftOut
    .slice(0, listMax)
    .map(({ email, inbound, reason }) => `[garrison] user ${clipped(email)} is left out of ${inbound}: ${reason}`)
    .map(oneLine);
  const more = leftOut.length - list.length;
  return more > 0 ? [...list, `[garrison] and ${more} more were left out`] : list;
}

function clipped(email: string): string {
  return email.length > emailMax ? `${email.slice(0, emailMax)}…` : email;
}

/** An engine's reasons name users, too. */
function oneLine(text: string): string {
  return (text.length > lineMax ? `${text.slice(0, lineMax)}…` : text).replace(/\p{Cc}/gu, " ");
}

function countUsers(users: readonly { readonly email: string }[]): number {
  return new Set(users.map(({ email }) => email)).size;
}

function tally(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}
