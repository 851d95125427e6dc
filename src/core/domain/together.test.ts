import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { together } from "./together.ts";

test("what is asked in one turn is one question, each thing once", async () => {
  const asked: string[][] = [];
  const find = together<string, number>(async (keys) => {
    asked.push([...keys]);
    return new Map(keys.filter((key) => key !== "none").map((key) => [key, key.length]));
  });
  expect(await Promise.all([find("a"), find("bb"), find("a"), find("none")])).toEqual([1, 2, 1, undefined]);
  const first = find("ccc");
  await turn();
  const second = find("dddd");
  expect(await Promise.all([first, second])).toEqual([3, 4]);
  expect(asked).toEqual([["a", "bb", "none"], ["ccc"], ["dddd"]]);
});

test("a failure is everybody's, and not the next question's", async () => {
  let fail = true;
  const find = together<string, string>(async (keys) => {
    if (fail) throw new Error("away");
    return new Map(keys.map((key) => [key, key]));
  });
  const both = await Promise.allSettled([find("a"), find("b")]);
  expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  fail = false;
  expect(await find("a")).toBe("a");
});
