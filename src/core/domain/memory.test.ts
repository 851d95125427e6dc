import { expect, test } from "vitest";
import { createMemory } from "./memory.ts";

function open(capacity = 10) {
  const world = {
    now: 0,
    loads: [] as string[],
    rows: new Map<string, number>([
      ["a", 1],
      ["b", 2],
      ["c", 3],
    ]),
  };
  const memory = createMemory<number>({
    async load(key) {
      world.loads.push(key);
      return world.rows.get(key);
    },
    ttlMs: 100,
    capacity,
    now: () => world.now,
  });
  return { world, memory };
}

test("what was found is there at once until its time is over", async () => {
  const { world, memory } = open();
  expect(await memory.get("a")).toBe(1);
  world.now = 99;
  expect(memory.get("a")).toBe(1);
  world.now = 100;
  world.rows.set("a", 5);
  expect(await memory.get("a")).toBe(5);
  expect(world.loads).toEqual(["a", "a"]);
});

test("what was found by a clock that was ahead is not remembered for longer when the clock is right", async () => {
  const { world, memory } = open();
  world.now = 5_000;
  await memory.get("a");
  world.now = 10;
  world.rows.set("a", 5);
  expect(await memory.get("a")).toBe(5);
});

test("that nothing was found is not remembered", async () => {
  const { world, memory } = open();
  expect(await memory.get("d")).toBeUndefined();
  world.rows.set("d", 4);
  expect(await memory.get("d")).toBe(4);
});

test("who asks at the same time waits for one answer", async () => {
  const { world, memory } = open();
  expect(await Promise.all([memory.get("a"), memory.get("a"), memory.get("b")])).toEqual([1, 1, 2]);
  expect(world.loads).toEqual(["a", "b"]);
});

test("what is forgotten is looked for anew, and the rest is not", async () => {
  const { world, memory } = open();
  await Promise.all([memory.get("a"), memory.get("b")]);
  memory.forget((value) => value === 1);
  expect(memory.get("b")).toBe(2);
  expect(await memory.get("a")).toBe(1);
  memory.forget();
  await memory.get("b");
  expect(world.loads).toEqual(["a", "b", "a", "b"]);
});

test("what was read before it was forgotten is not remembered after", async () => {
  const { world, memory } = open();
  const early = memory.get("a");
  memory.forget();
  world.rows.set("a", 9);
  const late = memory.get("a");
  expect(await early).toBe(1);
  expect(await late).toBe(9);
  expect(memory.get("a")).toBe(9);
});

test("the oldest is forgotten when there is too much", async () => {
  const { world, memory } = open(2);
  for (const key of ["a", "b", "c"]) await memory.get(key);
  expect(memory.get("c")).toBe(3);
  expect(memory.get("b")).toBe(2);
  await memory.get("a");
  expect(world.loads).toEqual(["a", "b", "c", "a"]);
});

test("a failure is told to all who wait, and the next one looks again", async () => {
  let fail = true;
  const memory = createMemory<string>({
    load: async (key) => {
      if (fail) throw new Error("away");
      return key;
    },
    ttlMs: 100,
    capacity: 10,
    now: () => 0,
  });
  const both = await Promise.allSettled([memory.get("a"), memory.get("a")]);
  expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  fail = false;
  expect(await memory.get("a")).toBe("a");
});
