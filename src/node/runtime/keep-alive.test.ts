import { describe, expect, it } from "vitest";
import { createManualClock } from "../../../test/support/manual-clock.ts";
import { createKeepAlive } from "./keep-alive.ts";

function watched(graceMs?: number) {
  const clock = createManualClock();
  const expiredAt: number[] = [];
  const work = { busy: false };
  const expired = () => expiredAt.push(clock.now());
  const keepAlive = createKeepAlive({ clock, graceMs, busy: () => work.busy, expired });
  return { clock, expiredAt, keepAlive, work };
}

describe("createKeepAlive", () => {
  it.each([
    [10n, 10_000],
    [12n, 15_000],
    [60n, 60_000],
    [1n, 5_000],
  ])("%i seconds without a call expire at the next look, and once", (seconds, at) => {
    const { clock, expiredAt, keepAlive } = watched();
    keepAlive.arm(seconds);
    clock.advance(200_000);
    expect(expiredAt).toEqual([at]);
    expect(clock.timers).toBe(0);
  });

  it.each([
    [10n, 20_000, 30_000],
    [1n, 3_000, 5_000],
    [1n, 0, 5_000],
    [10n, 600_000, 610_000],
  ])("%i seconds expire with a grace of %i ms after %i ms", (seconds, graceMs, at) => {
    const { clock, expiredAt, keepAlive } = watched(graceMs);
    keepAlive.arm(seconds);
    clock.advance(2_000_000);
    expect(expiredAt).toEqual([at]);
  });

  it("never expires with an infinite grace, and does not watch either", () => {
    const { clock, expiredAt, keepAlive } = watched(Number.POSITIVE_INFINITY);
    keepAlive.arm(10n);
    expect(clock.timers).toBe(0);
    clock.advance(2_000_000);
    expect(expiredAt).toEqual([]);
  });

  it("of 0 never expires, whatever the grace", () => {
    const { clock, expiredAt, keepAlive } = watched(5_000);
    keepAlive.arm(0n);
    clock.advance(2_000_000);
    expect(expiredAt).toEqual([]);
  });

  it("counts from the last activity", () => {
    const { clock, expiredAt, keepAlive } = watched();
    keepAlive.arm(10n);
    for (let i = 0; i < 6; i += 1) {
      clock.advance(5_000);
      keepAlive.touch();
    }
    expect(expiredAt).toEqual([]);
    clock.advance(60_000);
    expect(expiredAt).toEqual([40_000]);
  });

  it("never expires with 0, before it is armed, or after it is disarmed", () => {
    const { clock, expiredAt, keepAlive } = watched();
    clock.advance(60_000);
    keepAlive.arm(10n);
    keepAlive.arm(0n);
    clock.advance(60_000);
    keepAlive.arm(10n);
    keepAlive.disarm();
    clock.advance(60_000);
    expect(expiredAt).toEqual([]);
    expect(clock.timers).toBe(0);
  });

  it("arms again with another limit, counting from then", () => {
    const { clock, expiredAt, keepAlive } = watched();
    keepAlive.arm(10n);
    clock.advance(9_000);
    keepAlive.arm(20n);
    clock.advance(100_000);
    expect(expiredAt).toEqual([29_000]);
  });

  it("waits for what is under way, and counts from its end", () => {
    const { clock, expiredAt, keepAlive, work } = watched();
    keepAlive.arm(10n);
    work.busy = true;
    clock.advance(50_000);
    work.busy = false;
    clock.advance(100_000);
    expect(expiredAt).toEqual([60_000]);
  });

  it("takes the largest number that the field can hold", () => {
    const { clock, expiredAt, keepAlive } = watched();
    keepAlive.arm(18446744073709551615n);
    clock.advance(1_000_000);
    expect(expiredAt).toEqual([]);
  });
});
