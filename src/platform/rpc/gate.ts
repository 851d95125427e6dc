import type { DescMethod } from "@bufbuild/protobuf";
import type { ContextValues, HandlerContext } from "@connectrpc/connect";
import { kPeer, kRequestId } from "./call-context.ts";
import type { ServedService } from "./served-service.ts";

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

/** The gate of a server: lets public methods pass unasked, and trusts the connection of every caller who passed. */
export function guard(gate: Gate, services: readonly ServedService[]): Gate {
  const open = new Set(services.flatMap(({ desc, isPublic }) => desc.methods.filter(isPublic)));
  return (caller) => {
    if (caller.method !== undefined && open.has(caller.method)) return;
    const pending = gate(caller);
    const trust = () => caller.values.get(kPeer).trust();
    return pending === undefined ? trust() : pending.then(trust);
  };
}

/** Asks the gate about an RPC. The answer carries the id of the request whatever the gate says. */
export function passGate(gate: Gate, context: HandlerContext): void | Promise<void> {
  context.responseHeader.set("x-request-id", context.values.get(kRequestId));
  return gate({
    header: context.requestHeader,
    values: context.values,
    method: context.method,
    path: `/${context.service.typeName}/${context.method.name}`,
  });
}
