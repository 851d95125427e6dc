import { expect, test } from "vitest";
import { type NodeSigns, nodeState } from "./node-state.ts";

const now = 1_000_000;
const seen = (ms: number, more: Partial<NodeSigns> = {}): NodeSigns => ({
  disabled: false,
  enrolledAt: 1,
  lastSeenAt: now - ms,
  inError: false,
  ...more,
});

test.each<[string, NodeSigns]>([
  ["pending", seen(0, { enrolledAt: null, lastSeenAt: null })],
  ["offline", seen(0, { lastSeenAt: null })],
  ["online", seen(45_000)],
  ["stale", seen(45_001)],
  ["stale", seen(75_000)],
  ["offline", seen(75_001)],
  ["error", seen(75_000, { inError: true })],
  ["offline", seen(75_001, { inError: true })],
  ["disabled", seen(0, { inError: true, disabled: true })],
])("a node is %s: %j", (state, signs) => expect(nodeState(signs, now, 15_000)).toBe(state));
