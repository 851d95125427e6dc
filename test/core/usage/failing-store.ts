import type { Booking, UsageStore } from "../../../src/core/domain/usage/usage-store.ts";

/** The failure that a test has asked for. */
export class PlannedFailure extends Error {
  override readonly name = "PlannedFailure";
}

/** When a transaction fails: at its n-th step, before or after it was done, or after all of it was committed. */
export interface FailurePlan {
  readonly step: number;
  readonly when: "before" | "after" | "committed";
}

/** A real store whose transactions fail as `plan` says, which is asked for each; undefined: it does not fail. */
export function failingStore(store: UsageStore, plan: () => FailurePlan | undefined): UsageStore & { steps: number } {
  const counted = {
    /** Steps of the transaction that had the most. */
    steps: 0,
    async book<T>(work: (booking: Booking) => Promise<T>): Promise<T> {
      const planned = plan();
      const result = await store.book((booking) => {
        let step = 0;
        return work(
          new Proxy(booking, {
            get:
              (target, name: keyof Booking) =>
              async (...args: never[]) => {
                step += 1;
                counted.steps = Math.max(counted.steps, step);
                const isPlanned = step === planned?.step;
                if (isPlanned && planned.when === "before") throw new PlannedFailure();
                // The arguments are those of the method that was asked for.
                const outcome = await (target[name] as (...args: never[]) => Promise<unknown>)(...args);
                if (isPlanned && planned.when === "after") throw new PlannedFailure();
                return outcome;
              },
          }),
        );
      });
      if (planned?.when === "committed") throw new PlannedFailure();
      return result;
    },
  };
  return counted;
}
