import { describe, expect, it } from "vitest";
import { createFailureLimiter, networkOf } from "./failure-limiter.ts";

function limiterAt(clock: { ms: number }, capacity = 100) {
  return createFailureLimiter({ burst: 3, forgiveMs: 1_000, capacity, now: () => clock.ms });
}

describe("createFailureLimiter", () => {
  it("allows the burst, then says how long to wait", () => {
    const clock = { ms: 5_000 };
    const limiter = limiterAt(clock);
    expect([1, 2, 3, 4].map(() => limiter.fail("192.0.2.1"))).toEqual([0, 0, 0, 1_000]);
    clock.ms += 400;
    expect(limiter.fail("192.0.2.1")).toBe(600);
  });

  it("forgives one failure per period, however many came past the limit", () => {
    const clock = { ms: 0 };
    const limiter = limiterAt(clock);
    for (let i = 0; i < 50; i += 1) limiter.fail("192.0.2.1");
    clock.ms = 1_000;
    expect(limiter.fail("192.0.2.1")).toBe(0);
    expect(limiter.fail("192.0.2.1")).toBeGreaterThan(0);
    clock.ms = 60_000;
    expect([1, 2, 3, 4].map(() => limiter.fail("192.0.2.1"))).toEqual([0, 0, 0, 1_000]);
  });

  it("lets nobody wait for longer than the burst where the clock was set back", () => {
    const clock = { ms: 90_000_000 };
    const limiter = limiterAt(clock);
    for (let i = 0; i < 5; i += 1) limiter.fail("192.0.2.1");
    clock.ms = 5_000;
    expect(limiter.fail("192.0.2.1")).toBe(1_000);
    clock.ms += 3_000;
    expect([1, 2, 3, 4].map(() => limiter.fail("192.0.2.1"))).toEqual([0, 0, 0, 1_000]);
  });

  it("counts each address on its own, and addresses of one IPv6 /64 together", () => {
    const limiter = limiterAt({ ms: 0 });
    for (let i = 0; i < 3; i += 1) limiter.fail(`2001:db8:1:2::${i}`);
    expect(limiter.fail("2001:db8:1:2:ffff::1")).toBeGreaterThan(0);
    expect(limiter.fail("2001:db8:1:3::1")).toBe(0);
    expect(limiter.fail("192.0.2.1")).toBe(0);
  });

  it("forgets who failed longest ago when it remembers too many", () => {
    const limiter = limiterAt({ ms: 0 }, 2);
    for (let i = 0; i < 4; i += 1) limiter.fail("192.0.2.1");
    limiter.fail("192.0.2.2");
    expect(limiter.fail("192.0.2.1")).toBeGreaterThan(0);
    limiter.fail("192.0.2.3");
    expect(limiter.fail("192.0.2.1")).toBe(0);
  });
});

describe("networkOf", () => {
  it.each([
    ["192.0.2.7", "192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:0002::6", "2001:db8:1:2::/64"],
    ["2001:db8::6", "2001:db8:0:0::/64"],
    ["1::2:3:4:5:6:7", "1:0:2:3::/64"],
    ["::1", "0:0:0:0::/64"],
    ["::", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["", ""],
  ])("%s is counted under %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
