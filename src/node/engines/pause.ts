import { setImmediate } from "node:timers/promises";

/**
 * A pause for long work, to be made after every small step: it lets others have their turn when this one has lasted a
 * while, and else returns undefined, which need not be awaited.
 */
export function createPause(): () => Promise<void> | undefined {
  let count = 0;
  let since = performance.now();
  return () => {
    if (++count % 128 !== 0 || performance.now() - since < longestTurnMs) return undefined;
    return setImmediate().then(() => {
      since = performance.now();
    });
  };
}

const longestTurnMs = 5;
