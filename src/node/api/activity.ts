import type { Interceptor } from "@connectrpc/connect";
import { watchIterable } from "../../platform/rpc/interceptors/watch-iterable.ts";

/**
 * Notes every call that ends well, for `keep_alive`: a unary one when it is answered, a stream at its end. A stream
 * that is open, and a call that fails, count for nothing, as in the original.
 */
export function noteActivity(touch: () => void): Interceptor {
  return (next) => async (request) => {
    const response = await next(request);
    if (!response.stream) {
      touch();
      return response;
    }
    const end = (cause?: unknown) => {
      if (cause === undefined) touch();
    };
    return { ...response, message: watchIterable(response.message, request.signal, end) };
  };
}
