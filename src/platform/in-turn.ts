/** Runs work once all that was asked for before has ended. What fails holds up nobody. */
export type InTurn = <T>(work: () => Promise<T>) => Promise<T>;

/** Makes a queue of its own. */
export function createInTurn(): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const turn = last.then(work);
    last = turn.catch(() => undefined);
    return turn;
  };
}
