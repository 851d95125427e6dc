import { expect, test } from "vitest";
import { createCallingNodes } from "./calling-nodes.ts";

test("nodes count once, while they call, and are not forgotten before others had the time to call", () => {
  let now = 0;
  const nodes = createCallingNodes(100, () => now);
  const counts: number[] = [];
  for (const [at, nodeId] of [
    [0, 1],
    [10, 2],
    [20, 1],
    [100, 1],
    [150, 3],
    [160, 4],
    [200, 1],
    [300, 1],
    [400, 1],
  ] as const) {
    now = at;
    nodes.called(nodeId);
    counts.push(nodes.count);
  }
  expect(counts).toEqual([1, 2, 2, 2, 2, 3, 3, 1, 1]);
});
