import type { Interceptor } from "@connectrpc/connect";

/**
 * Answers a call at its deadline, also when its handler does not look at the signal. Calls without a deadline pass
 * untouched. What the handler still does goes on unobserved: a handler that changes state finishes its work.
 */
export const deadline: Interceptor = (next) => (request) =>
  hasDeadline(request.header) ? answerInTime(next, request) : next(request);

function hasDeadline(header: Headers): boolean {
  return header.has("grpc-timeout") || header.has("connect-timeout-ms");
}

async function answerInTime(next: AnyFn, request: Parameters<AnyFn>[0]): ReturnType<AnyFn> {
  const { expired, settle } = expiryOf(request.signal);
  try {
    const response = await Promise.race([next(request), expired]);
    if (!response.stream) return response;
    return { ...response, message: until(response.message, request.signal) };
  } finally {
    settle();
  }
}

type AnyFn = Parameters<Interceptor>[0];

function expiryOf(signal: AbortSignal): { expired: Promise<never>; settle: () => void } {
  const { promise, reject } = Promise.withResolvers<never>();
  const expire = () => reject(signal.reason);
  if (signal.aborted) expire();
  else signal.addEventListener("abort", expire, { once: true });
  promise.catch(() => undefined); // the race may be over when it rejects
  return { expired: promise, settle: () => signal.removeEventListener("abort", expire) };
}

// By hand: racing every message against one promise would keep something of each until the stream ends.
async function* until<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const inner = source[Symbol.asyncIterator]();
  let fail: (cause: unknown) => void = () => undefined;
  const expire = () => fail(signal.reason);
  signal.addEventListener("abort", expire);
  try {
    while (true) {
      const result = await new Promise<IteratorResult<T>>((resolve, reject) => {
        fail = reject;
        inner.next().then(resolve, reject);
        if (signal.aborted) expire();
      });
      if (result.done === true) return;
      yield result.value;
    }
  } finally {
    signal.removeEventListener("abort", expire);
    // A handler that is stuck never settles its return: it is not waited for.
    inner.return?.().catch(() => undefined);
  }
}
