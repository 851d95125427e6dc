import { expect, test } from "vitest";
import { nextTurn } from "./next-turn.ts";

test("of those who wait one goes on in each turn of the event loop, in their order", async () => {
  const seen: string[] = [];
  const wait = async (name: string) => {
    for (let slice = 1; slice <= 2; slice += 1) {
      await nextTurn();
      seen.push(`${name}${slice}`);
    }
  };
  const count = (turn: number) => {
    seen.push(`turn ${turn}`);
    if (turn < 5) setImmediate(count, turn + 1);
  };
  const working = Promise.all([wait("a"), wait("b")]);
  setImmediate(count, 1);
  await working;
  expect(seen).toEqual(["a1", "turn 1", "b1", "turn 2", "a2", "turn 3", "b2"]);
});
