import { expect, test } from "vitest";
import { OneAtATime } from "./one-at-a-time.ts";

test("turns are had one at a time, in the order in which they were asked for", async () => {
  const turns = new OneAtATime();
  const order: number[] = [];
  let having = 0;
  await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      await turns.take();
      expect(++having).toBe(1);
      await Promise.resolve();
      order.push(index);
      having--;
      turns.pass();
    }),
  );
  expect(order).toEqual([...order.keys()]);
});
