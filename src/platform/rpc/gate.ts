import type { DescMethod } from "@bufbuild/protobuf";
import type { ContextValues, HandlerContext } from "@connectrpc/connect";
import { kPeer } from "./call-context.ts";

/** Who asks for what, as far as it is known before a body is read. */
export interface Caller {
  readonly header: Headers;
  /** Carries the peer; a gate may add who the caller turned out to be. */
  readonly values: ContextValues;
  /** The RPC that is called. Absent for paths that are no RPC: `/metrics`, `/openapi.json`, unknown ones. */
  readonly method?: DescMethod;
  /** The path of the URL, without query. */
  readonly path: string;
}

/**
 * Decides about a call before its body is read: credential and rate limits. Throws a `PublicError` (or `ConnectError`)
 * to refuse it. The Connect router, the short path, the REST adapter and the plain routes all ask the same gate.
 */
export type Gate = (caller: Caller) => void | Promise<void>;

/** Asks the gate about an RPC, and trusts the connection when it lets the call pass. */
export function passGate(gate: Gate, context: HandlerContext): void | Promise<void> {
  const caller: Caller = {
    header: context.requestHeader,
    values: context.values,
    method: context.method,
    path: `/${context.service.typeName}/${context.method.name}`,
  };
  const pending = gate(caller);
  if (pending === undefined) {
    context.values.get(kPeer).trust();
    return;
  }
  return pending.then(() => context.values.get(kPeer).trust());
}
