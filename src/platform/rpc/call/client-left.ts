import { Code, ConnectError } from "@connectrpc/connect";

/** What a handler is told when nobody waits for its answer any more. */
export function clientLeft(): ConnectError {
  return new ConnectError("the client has left", Code.Canceled);
}
