/** What can be given up before its end. */
export interface Abortable {
  abort(reason: unknown): void;
}

/** Where a running call stands among the others. */
export class Place {
  readonly call: Abortable | undefined;
  before: Place = this;
  after: Place = this;

  constructor(call?: Abortable) {
    this.call = call;
  }
}

/** The calls of one kind that are running: they are aborted together when the server goes down. */
export interface RunningCalls {
  /** Adds a call; aborts it at once when the server is going down already. */
  enter(call: Abortable): Place;
  /** The call in this place is over. Once only. */
  leave(place: Place): void;
}

/**
 * Makes the set of calls that a signal aborts: one listener for all, since a listener per call costs more. It is a ring,
 * because a `Set` that changes all the time is rebuilt again and again.
 */
export function createRunningCalls(shutdown: AbortSignal): RunningCalls {
  // A place that no call takes: between the last and the first.
  const ring = new Place();
  shutdown.addEventListener("abort", () => {
    // A call that is aborted may leave in the meantime.
    const places: Place[] = [];
    for (let place = ring.after; place !== ring; place = place.after) places.push(place);
    for (const { call } of places) call?.abort(shutdown.reason);
  });
  return {
    enter(call) {
      const place = new Place(call);
      place.before = ring.before;
      place.after = ring;
      ring.before.after = place;
      ring.before = place;
      if (shutdown.aborted) call.abort(shutdown.reason);
      return place;
    },
    leave({ before, after }) {
      before.after = after;
      after.before = before;
    },
  };
}
