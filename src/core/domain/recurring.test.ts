import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Recurring } from "./recurring.ts";

let runs: { readonly closing: AbortSignal; readonly end: (error?: Error) => void }[];
let failures: unknown[];
let recurring: Recurring;
beforeEach(() => {
  vi.useFakeTimers();
  [runs, failures] = [[], []];
  recurring = new Recurring({
    everyMs: 1_000,
    work(closing) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      runs.push({ closing, end: (error) => (error === undefined ? resolve() : reject(error)) });
      return promise;
    },
    failed: (error) => void failures.push(error),
  });
});
afterEach(() => vi.useRealTimers());

test("there is one run at a time, and one that fails is not the last", async () => {
  await vi.advanceTimersByTimeAsync(3_500);
  const [asked, again] = [recurring.run(), recurring.run()];
  expect(runs).toHaveLength(1);
  const error = new Error("busy");
  runs[0]?.end(error);
  await expect(asked).rejects.toBe(error);
  await expect(again).rejects.toBe(error);
  expect(failures).toEqual([error]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(runs).toHaveLength(2);
});

test("it is closed when the run that is under way has ended, which is told, and there is none after it", async () => {
  await vi.advanceTimersByTimeAsync(1_000);
  let isClosed = false;
  const closing = recurring.close().then(() => {
    isClosed = true;
  });
  await vi.advanceTimersByTimeAsync(5_000);
  expect([runs.length, runs[0]?.closing.aborted, isClosed]).toEqual([1, true, false]);
  runs[0]?.end();
  await closing;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(runs).toHaveLength(1);
});
