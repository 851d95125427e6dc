/** Lets many work at once, or one alone. */
export interface SharedOrAlone {
  /** Runs some work together with others; waits for whoever works alone. */
  shared<T>(work: () => Promise<T>): Promise<T>;
  /** Runs some work alone. */
  alone<T>(work: () => Promise<T>): Promise<T>;
}

/** Makes one in which nobody works yet. Who comes first begins first. */
export function createSharedOrAlone(): SharedOrAlone {
  let lastAlone: Promise<unknown> = Promise.resolve();
  let sharing: Promise<unknown>[] = [];
  return {
    shared(work) {
      const turn = lastAlone.then(work);
      sharing.push(turn.catch(() => undefined));
      return turn;
    },
    alone(work) {
      const others = [lastAlone, ...sharing];
      sharing = [];
      const turn = Promise.all(others).then(work);
      lastAlone = turn.catch(() => undefined);
      return turn;
    },
  };
}
