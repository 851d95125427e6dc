import { type DescMethod, getOption } from "@bufbuild/protobuf";
import { createContextKey } from "@connectrpc/connect";
import { NodeAgentService } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { ScopeSchema, scope } from "../../../gen/garrison/core/v1/scope_pb.ts";
import { value } from "../../../gen/garrison/rest/v1/rest_pb.ts";
import { createFailureLimiter } from "../../platform/identity/failure-limiter.ts";
import { kPeer } from "../../platform/rpc/call-context.ts";
import { bearerOf, firstValue } from "../../platform/rpc/credential-header.ts";
import type { Caller, Gate } from "../../platform/rpc/gate.ts";
import { ScopeMissing } from "../domain/fleet/situations.ts";
import { type NodeCaller, NodeKeyRevoked, type NodeKeys, NodeKeyUnknown } from "../domain/node-keys.ts";
import {
  includesScope,
  type Operator,
  type OperatorScope,
  OperatorUnknown,
  type OperatorVerifier,
  operatorScopes,
} from "../domain/operator-keys.ts";
import { answerTo, tooManyFailures } from "./errors.ts";

/** The operator who calls: set by the gate for every service but NodeAgentService. */
export const kOperator = createContextKey<Operator>({ actor: "nobody", scopes: [] }, { description: "operator" });

/** The node that calls: set by the gate for NodeAgentService, but for Register. */
export const kNode = createContextKey<NodeCaller>({ nodeId: 0, keyId: 0 }, { description: "node" });

/** Options of {@link createCoreGate}. */
export interface CoreGateOptions {
  nodeKeys: Pick<NodeKeys, "verify">;
  /** Asked one after another. */
  operators: readonly OperatorVerifier[];
  /** Milliseconds that only grow. */
  now: () => number;
}

/**
 * Lets nodes pass to NodeAgentService with their key, in `x-node-auth-key`, which decides when it is there, or as
 * `Authorization: Bearer`; and operators to everything else, with theirs as `Authorization: Bearer` and the scope that
 * the contract asks for. Only failures are limited, by address: the right key passes from anywhere, always.
 */
export function createCoreGate({ nodeKeys, operators, now }: CoreGateOptions): Gate {
  const limiter = createFailureLimiter({ burst: 100, forgiveMs: 1_000, capacity: 10_000, now });

  function refuse(caller: Caller, cause: unknown): never {
    const answer = answerTo(cause);
    const isGuess = [NodeKeyUnknown, NodeKeyRevoked, OperatorUnknown].some((guess) => cause instanceof guess);
    const waitMs = isGuess ? limiter.fail(caller.values.get(kPeer).address) : 0;
    throw waitMs === 0 ? answer : tooManyFailures("too many failed authentications from this address", waitMs);
  }

  function admitNode(caller: Caller, key: string): void | Promise<void> {
    const accept = (node: NodeCaller) => void caller.values.set(kNode, node);
    try {
      const node = nodeKeys.verify(key);
      if (!(node instanceof Promise)) return accept(node);
      return node.then(accept).catch((cause: unknown) => refuse(caller, cause));
    } catch (cause) {
      return refuse(caller, cause);
    }
  }

  async function admitOperator(caller: Caller, credential: string): Promise<void> {
    try {
      const operator = await verified(operators, credential);
      const needed = caller.method && scopeOf(caller.method);
      if (needed !== undefined && !includesScope(operator.scopes, needed)) throw new ScopeMissing(needed);
      caller.values.set(kOperator, operator);
    } catch (cause) {
      refuse(caller, cause);
    }
  }

  return (caller) => {
    const credential = bearerOf(caller.header.get("authorization"));
    const nodeKey = firstValue(caller.header.get("x-node-auth-key")) || credential;
    return isForNodes(caller) ? admitNode(caller, nodeKey) : admitOperator(caller, credential);
  };
}

/** Also what this version does not have yet: a newer agent shall not take its key for a bad one. */
function isForNodes({ method, path }: Caller): boolean {
  if (method !== undefined) return method.parent === NodeAgentService;
  return path.startsWith("/node/") || path.startsWith(`/${NodeAgentService.typeName}/`);
}

async function verified(verifiers: readonly OperatorVerifier[], credential: string): Promise<Operator> {
  for (const verifier of verifiers) {
    const operator = await verifier.verify(credential);
    if (operator !== undefined) return operator;
  }
  throw new OperatorUnknown();
}

/** What the contract asks of who calls a method; undefined: nothing more than to be an operator. */
function scopeOf(method: DescMethod): OperatorScope | undefined {
  const needed = getOption(method, scope);
  const spelling = ScopeSchema.value[needed] && getOption(ScopeSchema.value[needed], value).spelling;
  return operatorScopes.find((known) => known === spelling);
}
