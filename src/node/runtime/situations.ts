import type { RejectedUser, TrafficKind } from "../engines/engine.ts";

/** The call needs a backend, and none was started. */
export class BackendNotInitialized extends Error {
  override readonly name = "BackendNotInitialized";
  override readonly message = "backend not initialized";
}

/** The call needs a running engine, and it is on its way up or back. */
export class CoreNotStarted extends Error {
  override readonly name = "CoreNotStarted";
  override readonly message = "core is not started yet";
}

/** This node has no engine of that kind. */
export class UnknownBackendType extends Error {
  override readonly name = "UnknownBackendType";
  override readonly message = "invalid backend type";
}

/** A user came without an e-mail, which is the name that everything else goes by. */
export class EmailMissing extends Error {
  override readonly name = "EmailMissing";
  override readonly message = "email is required";
}

/** The engine refused some of the users that were to be set; all others are set. */
export class UsersRejected extends Error {
  override readonly name = "UsersRejected";
  readonly rejected: readonly RejectedUser[];

  constructor(rejected: readonly RejectedUser[]) {
    super("the engine refused users");
    this.rejected = rejected;
  }
}

/** Neither the config nor the users have anything of that name. */
export class TrafficTargetUnknown extends Error {
  override readonly name = "TrafficTargetUnknown";
  readonly kind: TrafficKind;

  constructor(kind: TrafficKind) {
    super(`${kind} not found`);
    this.kind = kind;
  }
}

/** None of the backends that run counts traffic of this kind. */
export class TrafficNotCounted extends Error {
  override readonly name = "TrafficNotCounted";

  constructor(kind: TrafficKind, backend: string) {
    super(`${kind} stats not applicable for ${backend}`);
  }
}

/** The engine did not tell the measures of its process. */
export class SysStatsFailed extends Error {
  override readonly name = "SysStatsFailed";

  constructor(cause: Error) {
    super(`failed to get sys stats: ${cause.message}`, { cause });
  }
}

/** The user was never connected since the engine started, or the config does not count who is. */
export class UserNeverOnline extends Error {
  override readonly name = "UserNeverOnline";

  constructor(email: string) {
    super(`user>>>${email}>>>online not found.`);
  }
}

/** The engine measures no outbounds, has measured none yet, or did not tell. */
export class LatencyUnavailable extends Error {
  override readonly name = "LatencyUnavailable";
}

/** Connections cannot be cut. The message says why, and what to do. */
export class KickUnavailable extends Error {
  override readonly name = "KickUnavailable";
}

/** The call is about routing, and the engine has none. */
export class RoutingUnsupported extends Error {
  override readonly name = "RoutingUnsupported";
  override readonly message = "routing is only supported by the xray backend";
}

/** The call changes what the engines run, and Core says what that is. */
export class DrivenByCore extends Error {
  override readonly name = "DrivenByCore";
  override readonly message =
    "Core drives this node: change its config there. A node whose CORE_URL, CORE_ENROLMENT_CODE and directory " +
    "`agent` are gone is driven by this API again";
}
