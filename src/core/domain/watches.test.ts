import { expect, test } from "vitest";
import { createWatches } from "./watches.ts";

/** Replicas that hear announcements in one order, when they are delivered. */
function replicas(count: number) {
  const announced: [number, string][] = [];
  let names = 0;
  const all = Array.from({ length: count }, () =>
    createWatches({
      newName: () => `stream-${++names}`,
      announce: (nodeId, stream) => announced.push([nodeId, stream]),
    }),
  );
  const deliver = () => {
    for (const [nodeId, stream] of announced.splice(0)) for (const one of all) one.heard(nodeId, stream);
  };
  return { all, deliver };
}

test("a node's second stream ends the first, at the same replica at once and at another one when it hears of it", () => {
  const { all, deliver } = replicas(2);
  const [here, there] = all;
  const first = here?.open(7);
  const second = here?.open(7);
  expect(first?.superseded.aborted).toBe(true);
  deliver();
  const third = there?.open(7);
  const other = there?.open(8);
  expect(second?.superseded.aborted).toBe(false);
  deliver();
  expect([second, third, other].map((watch) => watch?.superseded.aborted)).toEqual([true, false, false]);
});

test("of streams that are opened at the same time everywhere, one stays", () => {
  const { all, deliver } = replicas(5);
  const streams = all.map((replica) => replica.open(7));
  deliver();
  expect(streams.map(({ superseded }) => superseded.aborted)).toEqual([true, true, true, true, false]);
});

test("a stream that was closed is not in the way of the next one", () => {
  const { all, deliver } = replicas(1);
  const first = all[0]?.open(7);
  const second = all[0]?.open(7);
  first?.close();
  deliver();
  const third = all[0]?.open(7);
  expect([second, third].map((watch) => watch?.superseded.aborted)).toEqual([true, false]);
});
