import { expect, test } from "vitest";
import { mergeChanges } from "./config-changes.ts";

test("changes of the same nodes and subscriptions become one of each", () => {
  const changes = [
    { scope: { nodeIds: [1, 2] }, reason: "a" },
    { scope: { subscriptionIds: [7] }, reason: "b" },
    { scope: { nodeIds: [2, 3] }, reason: "a" },
  ];
  expect(mergeChanges(changes)).toEqual([
    { scope: { nodeIds: [1, 2, 3] }, reason: "a; b" },
    { scope: { subscriptionIds: [7] }, reason: "a; b" },
  ]);
});

test("a change of everything takes all others in", () => {
  const changes = [
    { scope: { nodeIds: [1] }, reason: "a" },
    { scope: "all" as const, reason: "b" },
  ];
  expect(mergeChanges(changes)).toEqual([{ scope: "all", reason: "a; b" }]);
});

test("a change of no node is none", () => {
  expect(mergeChanges([{ scope: { nodeIds: [] }, reason: "a" }])).toEqual([]);
});
