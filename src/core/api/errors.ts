import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { SequenceGapSchema } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { LimitsSchema } from "../../../gen/garrison/core/v1/node_status_pb.ts";
import { PublicError, type PublicErrorDetails } from "../../platform/rpc/public-error.ts";
import {
  CommitUncertain,
  ConnectionLost,
  DatabaseBusy,
  DatabaseClosed,
  DatabaseFull,
  DatabaseUnavailable,
} from "../../platform/storage/errors.ts";
import { ConfigMissing, WatchSuperseded } from "../domain/configs.ts";
import { EnrolmentCodeInvalid, NodeNameTaken } from "../domain/enrolment.ts";
import { Invalid, NotNow, RequestIdReused, ScopeMissing, Taken, Unknown } from "../domain/fleet/situations.ts";
import { NodeCopied, NodeGone } from "../domain/heartbeats.ts";
import { NodeKeyRevoked, NodeKeyUnknown } from "../domain/node-keys.ts";
import { nodeLimits } from "../domain/node-terms.ts";
import { OperatorUnknown } from "../domain/operator-keys.ts";
import { SubscriptionLinkUnknown } from "../domain/subscription-links/subscription-documents.ts";
import { WireGuardConfigUnknown } from "../domain/subscription-links/wireguard-choice.ts";
import {
  BatchMismatch,
  BatchNameInvalid,
  EpochUnknown,
  ReportTooLarge,
  SequenceGap,
} from "../domain/usage/situations.ts";

/** What a caller is told about something that was thrown. */
export function answerTo(cause: unknown): ConnectError {
  if (cause instanceof ConnectError) return cause;
  if (cause instanceof Error) {
    const answer = answers.find(({ situation }) => cause instanceof situation);
    if (answer !== undefined)
      return withDetails(new PublicError(cause.message, answer.code, named(answer, cause)), cause);
    if (databaseTroubles.some((trouble) => cause instanceof trouble)) return tryAgain(cause);
  }
  return new PublicError("internal error", Code.Internal, { cause });
}

/** The answer to whoever has failed too often. */
export function tooManyFailures(sentence: string, waitMs: number): PublicError {
  return new PublicError(sentence, Code.ResourceExhausted, {
    machineCode: "RATE_LIMITED",
    retryAfterSeconds: Math.ceil(waitMs / 1_000),
  });
}

interface Answer {
  readonly situation: new (...args: never[]) => Error;
  readonly code: Code;
  /** Where it is not the one that follows from the code. */
  readonly httpStatus?: number;
  /** Absent: the error's own `code`. */
  readonly machineCode?: string;
}

/** Situations whose own sentence is for the caller. */
const answers: readonly Answer[] = [
  { situation: NodeKeyUnknown, code: Code.Unauthenticated, machineCode: "AUTH_INVALID" },
  { situation: NodeKeyRevoked, code: Code.Unauthenticated, machineCode: "KEY_REVOKED" },
  { situation: NodeGone, code: Code.Unauthenticated, machineCode: "KEY_REVOKED" },
  { situation: NodeCopied, code: Code.Aborted, machineCode: "NODE_COPIED" },
  { situation: EnrolmentCodeInvalid, code: Code.PermissionDenied, machineCode: "CODE_INVALID" },
  { situation: NodeNameTaken, code: Code.AlreadyExists, machineCode: "NAME_TAKEN" },
  { situation: SequenceGap, code: Code.Aborted, machineCode: "SEQUENCE_GAP" },
  { situation: BatchMismatch, code: Code.Aborted, machineCode: "BATCH_MISMATCH" },
  { situation: EpochUnknown, code: Code.Aborted, machineCode: "EPOCH_UNKNOWN" },
  { situation: ReportTooLarge, code: Code.ResourceExhausted, httpStatus: 413, machineCode: "PAYLOAD_TOO_LARGE" },
  { situation: BatchNameInvalid, code: Code.InvalidArgument },
  { situation: ConfigMissing, code: Code.NotFound },
  { situation: WatchSuperseded, code: Code.Aborted },
  { situation: SubscriptionLinkUnknown, code: Code.NotFound },
  { situation: WireGuardConfigUnknown, code: Code.NotFound },
  { situation: OperatorUnknown, code: Code.Unauthenticated, machineCode: "AUTH_INVALID" },
  { situation: ScopeMissing, code: Code.PermissionDenied },
  { situation: Unknown, code: Code.NotFound },
  { situation: Taken, code: Code.AlreadyExists },
  { situation: RequestIdReused, code: Code.AlreadyExists },
  { situation: NotNow, code: Code.FailedPrecondition, httpStatus: 409 },
  { situation: Invalid, code: Code.InvalidArgument },
];

/** What passes, or what operators have to repair: nothing that the caller could do better. */
const databaseTroubles = [
  CommitUncertain,
  ConnectionLost,
  DatabaseBusy,
  DatabaseClosed,
  DatabaseFull,
  DatabaseUnavailable,
];

function named({ httpStatus, machineCode }: Answer, cause: Error): PublicErrorDetails {
  const ownCode = "code" in cause && typeof cause.code === "string" ? cause.code : undefined;
  const name = machineCode ?? ownCode;
  return { ...(httpStatus !== undefined && { httpStatus }), ...(name !== undefined && { machineCode: name }) };
}

function withDetails(answer: PublicError, cause: Error): PublicError {
  if (cause instanceof SequenceGap)
    answer.details.push({ desc: SequenceGapSchema, value: create(SequenceGapSchema, { expected: cause.expected }) });
  if (cause instanceof ReportTooLarge) answer.details.push({ desc: LimitsSchema, value: nodeLimits });
  return answer;
}

function tryAgain(cause: Error): PublicError {
  return new PublicError("Core cannot reach its data now: send the same again in a moment", Code.Unavailable, {
    retryAfterSeconds: 1,
    cause,
    logged: cause.message,
  });
}
