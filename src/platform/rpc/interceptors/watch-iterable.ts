import { Code, ConnectError } from "@connectrpc/connect";

/**
 * Passes an iterable on and calls `end` exactly once: when it ends, fails, is given up, or when the call's signal
 * aborts while nobody reads on. What `end` returns for a failure is thrown in its place. Written by hand, since an
 * async generator costs several turns per message.
 */
export function watchIterable<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal,
  end: (cause?: unknown) => unknown,
): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const inner = source[Symbol.asyncIterator]();
      let ended = false;
      const once = (cause?: unknown): unknown => {
        if (ended) return cause;
        ended = true;
        signal.removeEventListener("abort", left);
        return end(cause) ?? cause;
      };
      const left = () => once(signal.reason instanceof ConnectError ? signal.reason : callerLeft());
      const failed = (cause: unknown): never => {
        throw once(cause);
      };
      const passed = (result: IteratorResult<T>): IteratorResult<T> => {
        if (result.done === true) once();
        return result;
      };
      signal.addEventListener("abort", left);
      return {
        next: () => inner.next().then(passed, failed),
        return(value) {
          once();
          return inner.return?.(value) ?? Promise.resolve({ done: true, value });
        },
        throw(cause) {
          once(cause);
          return inner.throw?.(cause) ?? Promise.reject(cause);
        },
      };
    },
  };
}

function callerLeft(): ConnectError {
  return new ConnectError("the caller has left", Code.Canceled);
}
