import type { ConnectError, Interceptor } from "@connectrpc/connect";
import { watchIterable } from "./watch-iterable.ts";

/** Turns what the handlers of a service throw, streams included, into what their callers are told. */
export function answerErrors(answerTo: (cause: unknown) => ConnectError): Interceptor {
  const end = (cause?: unknown) => (cause === undefined ? undefined : answerTo(cause));
  return (next) => async (request) => {
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: watchIterable(response.message, request.signal, end) };
    } catch (cause) {
      throw answerTo(cause);
    }
  };
}
