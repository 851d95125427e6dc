/**
 * Runs a task, one at a time, for everyone who asks for it before it begins: whoever asks while it runs shares the next
 * run, and so gets a result no older than the question.
 */
export function shareRuns<T>(task: () => Promise<T>): () => Promise<T> {
  let waiting: Promise<T> | undefined;
  let running: Promise<unknown> = Promise.resolve();
  return () => {
    if (waiting !== undefined) return waiting;
    const run = running.then(() => {
      waiting = undefined;
      return task();
    });
    waiting = run;
    running = run.catch(() => undefined); // the failure is for those who asked; the next run is not its business
    return run;
  };
}
