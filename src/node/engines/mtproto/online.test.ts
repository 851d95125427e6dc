import { expect, test } from "vitest";
import { createOnlineTimes } from "./online.ts";

test("an address has the time at which it was seen first, and again when it was away", () => {
  let now = 10_999;
  const times = createOnlineTimes(() => now);
  expect(times(new Map([["alice", ["192.0.2.1"]]]))).toEqual(new Map([["alice", { "192.0.2.1": 10n }]]));
  now = 20_000;
  expect(times(new Map([["alice", ["2001:db8::1", "192.0.2.1"]]]))).toEqual(
    new Map([["alice", { "192.0.2.1": 10n, "2001:db8::1": 20n }]]),
  );
  expect(times(new Map())).toEqual(new Map());
  now = 30_000;
  expect(times(new Map([["alice", ["192.0.2.1"]]]))).toEqual(new Map([["alice", { "192.0.2.1": 30n }]]));
});
