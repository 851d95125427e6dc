import { Code, ConnectError } from "@connectrpc/connect";
import type { Response } from "../../listener/listener.ts";

/** What a handler is told when nobody waits for its answer any more. */
export function clientLeft(): ConnectError {
  return new ConnectError("the client has left", Code.Canceled);
}

/** Nobody waits for this answer any more, or all of it was given. */
export function isGone(response: Response): boolean {
  return "stream" in response ? response.stream.destroyed : response.destroyed;
}
