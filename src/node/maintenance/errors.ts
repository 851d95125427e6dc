import { Code, ConnectError } from "@connectrpc/connect";
import { PublicError } from "../../platform/rpc/public-error.ts";
import { ConfigRefused, StartFailed } from "../engines/engine-error.ts";
import { DownloadFailed } from "../engines/install/download.ts";
import { InstallRefused } from "../engines/install/install.ts";
import { ArchiveRefused } from "../engines/install/unpack.ts";
import { NotThisEngine } from "../engines/install/version.ts";
import {
  AnotherJobRuns,
  AssetsNotWritable,
  DigestRefused,
  NodeGoesDown,
  NodeUpdateFailed,
  ReleaseNotFound,
  UnusableRequest,
  UpdateCommandMissing,
} from "./situations.ts";

/** What a caller is told about something that was thrown. Whatever was tried and failed is 500, as in the original. */
export function answerTo(cause: unknown): ConnectError {
  if (cause instanceof ConnectError) return cause;
  const [situation, code, httpStatus] = answers.find(([type]) => cause instanceof type) ?? [];
  if (code === undefined || httpStatus === undefined || !(cause instanceof Error)) {
    return new PublicError("internal error", Code.Internal, { cause });
  }
  // The engine's own words may name a user.
  const logged = situation === ConfigRefused || situation === StartFailed ? cause.name : cause.message;
  return new PublicError(cause.message, code, { httpStatus, logged });
}

/** Situations whose own message is for the caller. */
const answers: readonly (readonly [situation: new (...args: never[]) => Error, code: Code, httpStatus: number])[] = [
  [UnusableRequest, Code.InvalidArgument, 400],
  [ReleaseNotFound, Code.NotFound, 404],
  [AnotherJobRuns, Code.Aborted, 409],
  [UpdateCommandMissing, Code.FailedPrecondition, 412],
  [NodeGoesDown, Code.Unavailable, 503],
  [NodeUpdateFailed, Code.Internal, 500],
  [DownloadFailed, Code.Unavailable, 500],
  [DigestRefused, Code.FailedPrecondition, 500],
  [ArchiveRefused, Code.FailedPrecondition, 500],
  [NotThisEngine, Code.FailedPrecondition, 500],
  [InstallRefused, Code.FailedPrecondition, 500],
  [AssetsNotWritable, Code.FailedPrecondition, 500],
  [ConfigRefused, Code.FailedPrecondition, 500],
  [StartFailed, Code.FailedPrecondition, 500],
];
