/** What can be given up before its end. */
interface Abortable {
  abort(reason: unknown): void;
}

/** The calls of one kind that are running: they are aborted together when the server goes down. */
export interface RunningCalls {
  /** Adds a call; aborts it at once when the server is going down already. */
  enter(call: Abortable): void;
  /** The call is over. */
  leave(call: Abortable): void;
}

/** Makes the set of calls that a signal aborts: one listener for all, since a listener per call costs more. */
export function createRunningCalls(shutdown: AbortSignal): RunningCalls {
  const running = new Set<Abortable>();
  shutdown.addEventListener("abort", () => {
    for (const call of running) call.abort(shutdown.reason);
    running.clear();
  });
  return {
    enter(call) {
      if (shutdown.aborted) call.abort(shutdown.reason);
      else running.add(call);
    },
    leave(call) {
      running.delete(call);
    },
  };
}
