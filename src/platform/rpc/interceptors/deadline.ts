import type { Interceptor } from "@connectrpc/connect";

/**
 * Answers a call at its deadline, also when its handler does not look at the signal. Calls without a deadline pass
 * untouched. What the handler still does goes on unobserved: a handler that changes state finishes its work.
 */
export const deadline: Interceptor = (next) => async (request) => {
  if (!timeoutHeaders.some((name) => request.header.has(name))) return next(request);
  const { expired, settle } = expiryOf(request.signal);
  try {
    const response = await Promise.race([next(request), expired]);
    if (!response.stream) return response;
    return { ...response, message: until(response.message, request.signal) };
  } finally {
    settle();
  }
};

const timeoutHeaders = ["grpc-timeout", "connect-timeout-ms"] as const;

function expiryOf(signal: AbortSignal): { expired: Promise<never>; settle: () => void } {
  const { promise, reject } = Promise.withResolvers<never>();
  const expire = () => reject(signal.reason);
  if (signal.aborted) expire();
  else signal.addEventListener("abort", expire, { once: true });
  promise.catch(() => undefined); // the race may be over when it rejects
  return { expired: promise, settle: () => signal.removeEventListener("abort", expire) };
}

async function* until<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const { expired, settle } = expiryOf(signal);
  const inner = source[Symbol.asyncIterator]();
  try {
    while (true) {
      const result = await Promise.race([inner.next(), expired]);
      if (result.done === true) return;
      yield result.value;
    }
  } finally {
    settle();
    // A handler that is stuck never settles its return: it is not waited for.
    inner.return?.().catch(() => undefined);
  }
}
