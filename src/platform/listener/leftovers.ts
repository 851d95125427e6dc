import type { ListenerLimits } from "./limits.ts";

/** Says whether this many bytes may still be read of a body whose request was refused; they then count as read. */
export type MayReadLeftover = (bytes: number) => boolean;

/**
 * Bounds what is read, and thrown away, of bodies whose requests were refused, over all connections that are not trusted.
 * What was read is garbage until it is collected, which Node does not hurry to do: a hundred connections that push
 * would cost as much as the largest pile that it lets grow.
 */
export function createLeftoverAllowance(limits: ListenerLimits, nowMs: () => number): MayReadLeftover {
  let left = limits.leftoverBytes;
  let filledAtMs = nowMs();
  return (bytes) => {
    const now = nowMs();
    left = Math.min(limits.leftoverBytes, left + ((now - filledAtMs) / 1_000) * limits.leftoverBytesPerSecond);
    filledAtMs = now;
    if (left < bytes) return false;
    left -= bytes;
    return true;
  };
}
