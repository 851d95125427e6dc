/** Runs a step now when none has run in this turn of the event loop, else in a later one: one per turn, in order. */
export type LoopTurns = (step: () => void) => void;

/**
 * Makes a queue of steps that cost memory which Node gives back only at the end of a turn. A hundred of them in one turn
 * would need the memory of a hundred.
 */
export function createLoopTurns(): LoopTurns {
  const waiting: (() => void)[] = [];
  let taken = false;

  function nextTurn() {
    const step = waiting.shift();
    taken = step !== undefined;
    if (step === undefined) return;
    setImmediate(nextTurn);
    step();
  }

  return (step) => {
    if (taken) {
      waiting.push(step);
      return;
    }
    taken = true;
    setImmediate(nextTurn);
    step();
  };
}
