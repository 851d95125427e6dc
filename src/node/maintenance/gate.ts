import { Code, ConnectError } from "@connectrpc/connect";
import type { Gate } from "../../platform/rpc/gate.ts";
import { PublicError } from "../../platform/rpc/public-error.ts";

/** Asks the node's own gate, and refuses in the words of the maintenance API: 401, whatever is wrong with the key. */
export function createMaintenanceGate(nodeGate: Gate): Gate {
  return async (caller) => {
    try {
      await nodeGate(caller);
    } catch (cause) {
      if (!(cause instanceof ConnectError) || cause.code === Code.ResourceExhausted) throw cause;
      const hasKey = caller.header.get("x-api-key") || caller.header.has("authorization");
      throw new PublicError(hasKey ? "invalid api key" : "missing api key", Code.Unauthenticated);
    }
  };
}
