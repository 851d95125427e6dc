import { createContextKey } from "@connectrpc/connect";
import type { NodeCaller } from "../domain/node-keys.ts";
import type { Operator } from "../domain/operator-keys.ts";

/** The operator who calls: set by the gate for every service but NodeAgentService. */
export const kOperator = createContextKey<Operator>({ actor: "nobody", scopes: [] }, { description: "operator" });

/** The node that calls: set by the gate for NodeAgentService, but for Register. */
export const kNode = createContextKey<NodeCaller>({ nodeId: 0, keyId: 0 }, { description: "node" });
