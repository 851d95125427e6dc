import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { createInTurn } from "./in-turn.ts";

test("work is done in the order in which it was asked for, one at a time, also after a failure", async () => {
  const inTurn = createInTurn();
  const seen: string[] = [];
  const work = (name: string, ms: number) => async () => {
    seen.push(`${name} begins`);
    await sleep(ms);
    seen.push(`${name} ends`);
    if (name === "b") throw new Error("b fails");
    return name;
  };
  const asked = [inTurn(work("a", 20)), inTurn(work("b", 5)), inTurn(work("c", 0))];
  expect(await Promise.allSettled(asked)).toEqual([
    { status: "fulfilled", value: "a" },
    { status: "rejected", reason: new Error("b fails") },
    { status: "fulfilled", value: "c" },
  ]);
  expect(seen).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
});
