import { expect, it } from "vitest";
import { shareRuns } from "./share-runs.ts";

function heldTask() {
  const runs: PromiseWithResolvers<void>[] = [];
  const ask = shareRuns(() => {
    const run = Promise.withResolvers<void>();
    runs.push(run);
    return run.promise;
  });
  const started = (count: number) => expect.poll(() => runs.length).toBe(count);
  return { runs, ask, started };
}

it("runs once for all who ask before it begins", async () => {
  const { runs, ask, started } = heldTask();
  const asked = [ask(), ask(), ask()];
  await started(1);
  runs[0]?.resolve();
  await Promise.all(asked);
  expect(runs).toHaveLength(1);
});

it("runs once more, and not at the same time, for all who ask while it runs", async () => {
  const { runs, ask, started } = heldTask();
  const first = ask();
  await started(1);
  const later = [ask(), ask()];
  await Promise.resolve();
  expect(runs).toHaveLength(1);
  runs[0]?.resolve();
  await first;
  await started(2);
  runs[1]?.resolve();
  await Promise.all(later);
  expect(runs).toHaveLength(2);
});

it("fails for those who shared the run, and runs again for the next", async () => {
  const { runs, ask, started } = heldTask();
  const asked = Promise.allSettled([ask(), ask()]);
  await started(1);
  const next = ask();
  runs[0]?.reject(new Error("engine gone"));
  expect((await asked).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await started(2);
  runs[1]?.resolve();
  await expect(next).resolves.toBeUndefined();
});
