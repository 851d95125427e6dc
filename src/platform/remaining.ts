/**
 * How long it is until a time that was set `mostMs` ahead at the most, in milliseconds; 0 when it is over. A time that is
 * further off was set by a clock that was ahead and has been set right since: it is over as well, or all who go by it
 * would wait until the clock is there again.
 */
export function remainingMs(until: number, now: number, mostMs: number): number {
  const ms = until - now;
  return ms > 0 && ms <= mostMs ? ms : 0;
}
