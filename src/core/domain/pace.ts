/** Lets others have a turn where long work goes on: call it often; it waits when a slice of time is used up. */
export type Pace = () => Promise<void> | undefined;

/** Makes a {@link Pace}. `rest` resolves when others had their turn; `now` is in milliseconds. */
export function createPace(rest: () => Promise<void>, now: () => number, sliceMs = 5): Pace {
  let endsAt = now() + sliceMs;
  return () => {
    if (now() < endsAt) return undefined;
    return rest().then(() => {
      endsAt = now() + sliceMs;
    });
  };
}
