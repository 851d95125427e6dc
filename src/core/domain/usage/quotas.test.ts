import { describe, expect, test } from "vitest";
import { leaseOf } from "./quota-lease.ts";
import { periodAfter } from "./quota-period.ts";

const [mib, gib] = [2n ** 20n, 2n ** 30n];

describe("a lease", () => {
  test.each<[what: string, quotaBytes: bigint, usedBytes: bigint, nodes: number, lease: bigint | undefined]>([
    ["is the config's while much is left", 100n * gib, 0n, 8, undefined],
    ["is the config's as long as a share is as much", 100n * gib, 92n * gib, 8, undefined],
    ["is a share of what is left", 100n * gib, 96n * gib, 8, gib / 2n],
    ["is all that is left where one node serves", 100n * gib, 100n * gib - 5n * mib, 1, 5n * mib],
    ["is shared by no more than 8", 100n * gib, 96n * gib, 1000, gib / 2n],
    ["is a mebibyte at least", 100n * gib, 100n * gib - 5n * mib, 8, mib],
    ["is never more than is left", 100n * gib, 100n * gib - 7n, 8, 7n],
    ["is nothing when the quota is used up", 100n * gib, 100n * gib, 8, 0n],
    ["is nothing when more was used", 100n * gib, 200n * gib, 8, 0n],
    ["is nothing of a quota of nothing that the config has not said before", 0n, 5n, 1, undefined],
    ["of a small quota", 1000n, 200n, 2, 800n],
  ])("%s", (_what, quotaBytes, usedBytes, nodes, lease) => {
    expect(leaseOf({ quotaBytes, usedBytes, nodes })).toBe(lease);
  });
});

describe("a period that has ended", () => {
  const at = (text: string) => Date.parse(text);
  test.each<
    [reset: Parameters<typeof periodAfter>[0], ended: string, now: string, starts: string, ends: string | null]
  >([
    ["day", "2026-05-10T00:00Z", "2026-05-10T00:00Z", "2026-05-10T00:00Z", "2026-05-11T00:00Z"],
    ["day", "2026-05-10T00:00Z", "2026-05-13T23:59Z", "2026-05-13T00:00Z", "2026-05-14T00:00Z"],
    ["week", "2026-05-04T00:00Z", "2026-05-10T23:59Z", "2026-05-04T00:00Z", "2026-05-11T00:00Z"],
    ["week", "2026-05-04T00:00Z", "2026-05-11T00:00Z", "2026-05-11T00:00Z", "2026-05-18T00:00Z"],
    ["month", "2026-01-01T00:00Z", "2026-03-31T12:00Z", "2026-03-01T00:00Z", "2026-04-01T00:00Z"],
    ["month", "2024-02-01T00:00Z", "2024-02-29T23:00Z", "2024-02-01T00:00Z", "2024-03-01T00:00Z"],
    ["year", "2024-01-01T00:00Z", "2026-12-31T23:59Z", "2026-01-01T00:00Z", "2027-01-01T00:00Z"],
    ["never", "2026-05-10T00:00Z", "2030-01-01T00:00Z", "2026-05-10T00:00Z", null],
  ])("by %s at %s is followed, at %s, by one from %s to %s", (reset, ended, now, starts, ends) => {
    expect(periodAfter(reset, at(ended), at(now))).toEqual({
      startedAt: at(starts),
      endsAt: ends === null ? null : at(ends),
    });
  });
});
