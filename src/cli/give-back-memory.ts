/**
 * Has the collector give back, once, what only the start of a service needed, and the room that it took: a service that
 * nobody calls would keep both. It waits until there was next to nothing to do for some seconds, since everything stands
 * still meanwhile. Returns a function that calls it off.
 */
export function giveBackMemoryWhenQuiet(): () => void {
  let before = performance.eventLoopUtilization();
  const timer = setInterval(() => {
    const { utilization } = performance.eventLoopUtilization(before);
    before = performance.eventLoopUtilization();
    if (utilization > busyShare) return;
    clearInterval(timer);
    globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
  }, quietMs);
  return () => clearInterval(timer);
}

const quietMs = 5_000;
const busyShare = 0.02;
