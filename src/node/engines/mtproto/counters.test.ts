import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Counters, type UserCount } from "./counters.ts";

const both = (uplinkBytes: bigint, downlinkBytes: bigint): UserCount => ({ uplinkBytes, downlinkBytes });
const sum = (totalBytes: bigint): UserCount => ({ totalBytes });
const sample = (users: Record<string, UserCount>, complete = true) => ({
  users: new Map(Object.entries(users)),
  complete,
});
const totalsOf = (counters: Counters) =>
  Object.fromEntries(
    Array.from(counters.totals(), ({ name, uplinkBytes, downlinkBytes }) => [name, [uplinkBytes, downlinkBytes]]),
  );

test("adds what has come since the last sample", () => {
  const counters = new Counters();
  const run = counters.begin();
  run.observe(sample({ alice: both(10n, 20n) }));
  run.observe(sample({ alice: both(10n, 25n), bob: both(1n, 0n) }));
  expect(totalsOf(counters)).toEqual({ alice: [10n, 25n], bob: [1n, 0n] });
});

describe("bytes are neither lost nor doubled", () => {
  test("when another process begins, whose counters are higher than the last ones", () => {
    const counters = new Counters();
    counters.begin().observe(sample({ alice: both(10n, 20n) }));
    counters.begin().observe(sample({ alice: both(100n, 200n) }));
    expect(totalsOf(counters)).toEqual({ alice: [110n, 220n] });
  });

  test("when telemt has forgotten a user, who comes back with more than before", () => {
    const counters = new Counters();
    const run = counters.begin();
    run.observe(sample({ alice: both(10n, 20n) }));
    run.observe(sample({}));
    run.observe(sample({ alice: both(100n, 200n) }));
    expect(totalsOf(counters)).toEqual({ alice: [110n, 220n] });
  });

  test("when counters have gone back to zero meanwhile", () => {
    const counters = new Counters();
    const run = counters.begin();
    run.observe(sample({ alice: both(10n, 20n) }));
    run.observe(sample({ alice: both(11n, 5n) }));
    expect(totalsOf(counters)).toEqual({ alice: [21n, 25n] });
  });

  test("when a user is not shown for a while, and the sample says so", () => {
    const counters = new Counters();
    const run = counters.begin();
    run.observe(sample({ alice: both(10n, 20n) }));
    run.observe(sample({}, false));
    run.observe(sample({ alice: both(12n, 20n) }));
    expect(totalsOf(counters)).toEqual({ alice: [12n, 20n] });
  });

  test("when a sample of a process comes after its end", () => {
    const counters = new Counters();
    const run = counters.begin();
    run.end();
    run.observe(sample({ alice: both(10n, 20n) }));
    const next = counters.begin();
    run.observe(sample({ alice: both(10n, 20n) }));
    next.observe(sample({ alice: both(1n, 1n) }));
    expect(totalsOf(counters)).toEqual({ alice: [1n, 1n] });
  });
});

describe("of a user of whom only the sum is known", () => {
  test("it counts as received while nothing else is known", () => {
    const counters = new Counters();
    counters.begin().observe(sample({ alice: sum(30n) }));
    expect(totalsOf(counters)).toEqual({ alice: [0n, 30n] });
  });

  test("it is split like what came before, and put right as far as it can be when both are known again", () => {
    const counters = new Counters();
    const run = counters.begin();
    run.observe(sample({ alice: both(10n, 30n) }));
    run.observe(sample({ alice: sum(80n) }));
    expect(totalsOf(counters)).toEqual({ alice: [20n, 60n] });
    run.observe(sample({ alice: both(40n, 60n) }));
    expect(totalsOf(counters)).toEqual({ alice: [40n, 60n] });
    run.observe(sample({ alice: sum(200n) }));
    expect(totalsOf(counters)).toEqual({ alice: [80n, 120n] });
    // More was received than guessed, but what was told of the other direction stands.
    run.observe(sample({ alice: both(40n, 170n) }));
    expect(totalsOf(counters)).toEqual({ alice: [80n, 130n] });
  });
});

test("whatever happens to telemt's counters, the totals only grow, and their sum is what was counted", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("used" as const), up: fc.nat(1_000), down: fc.nat(1_000) }),
    fc.record({ kind: fc.constantFrom("both" as const, "sum" as const, "hidden" as const) }),
    fc.record({ kind: fc.constantFrom("forgotten" as const, "restart" as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const counters = new Counters();
      let run = counters.begin();
      let [up, down, used] = [0n, 0n, 0n];
      let before = [0n, 0n];
      const look = (count: UserCount) => run.observe(sample({ alice: count }));
      for (const each of [...steps, { kind: "both" as const }]) {
        if (each.kind === "used") {
          up += BigInt(each.up);
          down += BigInt(each.down);
          used += BigInt(each.up + each.down);
        } else if (each.kind === "both") look(both(up, down));
        else if (each.kind === "sum") look(sum(up + down));
        else if (each.kind === "hidden") run.observe(sample({}, false));
        else {
          look(both(up, down)); // the last look
          if (each.kind === "restart") run = counters.begin();
          else run.observe(sample({}));
          [up, down] = [0n, 0n];
        }
        const [nowUp = 0n, nowDown = 0n] = totalsOf(counters).alice ?? [];
        expect(nowUp >= (before[0] ?? 0n) && nowDown >= (before[1] ?? 0n)).toBe(true);
        before = [nowUp, nowDown];
      }
      expect((before[0] ?? 0n) + (before[1] ?? 0n)).toBe(used);
    }),
  );
});
