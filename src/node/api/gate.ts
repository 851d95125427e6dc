import { timingSafeEqual } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { createFailureLimiter } from "../../platform/identity/failure-limiter.ts";
import { kPeer } from "../../platform/rpc/call-context.ts";
import { bearerOf, firstValue } from "../../platform/rpc/credential-header.ts";
import type { Caller, Gate } from "../../platform/rpc/gate.ts";
import { PublicError } from "../../platform/rpc/public-error.ts";
import { type ApiKey, parseUuid } from "./api-key.ts";

/** Options of {@link createNodeGate}. */
export interface NodeGateOptions {
  key: ApiKey;
  /** Milliseconds that only grow. */
  now: () => number;
}

/**
 * Lets those pass who have the node's key. `x-api-key` decides when it is there, with the answers that clients of the
 * original know; else `Authorization: Bearer`, whose every failure is 401. Only failures are limited, by address: the
 * right key passes from anywhere, always, so that nobody behind a shared address can lock the panel out.
 */
export function createNodeGate(options: NodeGateOptions): Gate {
  const limiter = createFailureLimiter({ burst: 100, forgiveMs: 1_000, capacity: 10_000, now: options.now });
  return (caller) => {
    const refusal = judge(caller, options.key);
    if (refusal === undefined) return;
    const waitMs = limiter.fail(caller.values.get(kPeer).address);
    throw waitMs === 0 ? refusal : tooManyFailures(waitMs);
  };
}

function judge(caller: Caller, key: ApiKey): PublicError | undefined {
  // The original looks at the first one only.
  const apiKey = firstValue(caller.header.get("x-api-key"));
  if (apiKey !== "") return judgeApiKey(apiKey, key);
  const authorization = caller.header.get("authorization");
  if (authorization !== null) return judgeBearer(authorization, key);
  return new PublicError("missing x-api-key header", Code.Unauthenticated);
}

function judgeApiKey(text: string, key: ApiKey): PublicError | undefined {
  const given = parseUuid(text);
  if (given === undefined) {
    return new PublicError("invalid api key format: must be a valid UUID", Code.InvalidArgument, { httpStatus: 422 });
  }
  return timingSafeEqual(given, key) ? undefined : new PublicError("api key mismatch", Code.PermissionDenied);
}

function judgeBearer(authorization: string, key: ApiKey): PublicError | undefined {
  const given = parseUuid(bearerOf(authorization));
  if (given !== undefined && timingSafeEqual(given, key)) return undefined;
  return new PublicError("authorization must be Bearer and the node's API key", Code.Unauthenticated);
}

function tooManyFailures(waitMs: number): PublicError {
  return new PublicError("too many failed authentications from this address", Code.ResourceExhausted, {
    retryAfterSeconds: Math.ceil(waitMs / 1_000),
  });
}
