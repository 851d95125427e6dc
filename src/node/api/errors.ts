import { Code, ConnectError } from "@connectrpc/connect";
import { PublicError } from "../../platform/rpc/public-error.ts";
import { InboundUnknown } from "../engines/connections.ts";
import type { RejectedUser } from "../engines/engine.ts";
import { ConfigRefused, EngineUnreachable, StartFailed } from "../engines/engine-error.ts";
import { BalancerUnknown, OutboundUnknown, RoutingRefused, RuleRefused, RuleTagTaken } from "../engines/routing.ts";
import { ChunksTooLarge, IncompleteChunks } from "../runtime/chunks.ts";
import {
  BackendNotInitialized,
  CoreNotStarted,
  DrivenByCore,
  EmailMissing,
  KickUnavailable,
  LatencyUnavailable,
  RoutingUnsupported,
  SysStatsFailed,
  TrafficNotCounted,
  TrafficTargetUnknown,
  UnknownBackendType,
  UserNeverOnline,
  UsersRejected,
} from "../runtime/situations.ts";
import { InvalidRoutingRequest } from "./routing-request.ts";
import { InvalidStatRequest } from "./stat-request.ts";

/**
 * What a caller is told about something that was thrown. Code, REST status and text are those that clients of the
 * original act upon: the panel spares an engine that it is told is `not started yet`, and its client takes Internal
 * with a text that begins `failed to update users`, or any REST 500 but those two below, as the fault of the users.
 * A fault of ours is therefore 503 in REST.
 */
export function answerTo(cause: unknown): ConnectError {
  if (cause instanceof ConnectError) return cause;
  if (cause instanceof UsersRejected) return rejection(cause.rejected);
  const [, code, httpStatus] = answers.find(([situation]) => cause instanceof situation) ?? [];
  if (code === undefined || httpStatus === undefined || !(cause instanceof Error)) {
    return new PublicError("internal error", Code.Internal, { httpStatus: 503, cause });
  }
  return new PublicError(cause.message, code, { httpStatus, logged: cause.message.replaceAll(quotedEmail, "$1…") });
}

// An engine that did not come up is quoted with its last lines, among which may be those of users who were connecting;
// and it names the user whom a config has twice, or who is not online.
const quotedEmail = /(\bemail: |\buser>>>|\bUser (?=\S+ (?:already exists|not found)))\S+/g;

/** Situations whose own message is for the caller. */
const answers: readonly (readonly [situation: new (...args: never[]) => Error, code: Code, httpStatus: number])[] = [
  [BackendNotInitialized, Code.Unavailable, 500],
  [CoreNotStarted, Code.Unavailable, 503],
  [EngineUnreachable, Code.Unavailable, 503],
  [SysStatsFailed, Code.Unavailable, 503],
  [UnknownBackendType, Code.Unknown, 503],
  [ConfigRefused, Code.Unknown, 503],
  [StartFailed, Code.Unknown, 503],
  [EmailMissing, Code.Unknown, 400],
  [IncompleteChunks, Code.InvalidArgument, 400],
  [ChunksTooLarge, Code.ResourceExhausted, 413],
  [InvalidStatRequest, Code.InvalidArgument, 400],
  [TrafficNotCounted, Code.InvalidArgument, 400],
  [TrafficTargetUnknown, Code.NotFound, 404],
  [UserNeverOnline, Code.NotFound, 404],
  [LatencyUnavailable, Code.Unknown, 502],
  [RoutingUnsupported, Code.Unimplemented, 501],
  [InvalidRoutingRequest, Code.InvalidArgument, 400],
  [RuleRefused, Code.InvalidArgument, 400],
  [RuleTagTaken, Code.AlreadyExists, 409],
  [BalancerUnknown, Code.NotFound, 404],
  [OutboundUnknown, Code.NotFound, 404],
  [RoutingRefused, Code.Unknown, 500],
  [KickUnavailable, Code.FailedPrecondition, 412],
  [DrivenByCore, Code.FailedPrecondition, 412],
  [InboundUnknown, Code.NotFound, 404],
];

// A panel stores about a thousand characters of a message.
const rejectionsNamed = 10;

function rejection(rejected: readonly RejectedUser[]): PublicError {
  const named = rejected.slice(0, rejectionsNamed).map((user) => `${user.email} on ${user.inbound}: ${user.reason}`);
  const more = rejected.length > named.length ? [`and ${rejected.length - named.length} more`] : [];
  return new PublicError(`failed to update users: ${[...named, ...more].join("; ")}`, Code.Internal, {
    logged: `failed to update users: the engine refused ${rejected.length}`,
  });
}
