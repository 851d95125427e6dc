import { isErrno } from "../../../platform/errno.ts";
import { ApplyTimedOut, ConfigRefused, PortInUse, StartFailed } from "../../engines/engine-error.ts";

/** A config that Core cannot have meant. The message says what is wrong, and where. */
export class ConfigInvalid extends Error {
  override readonly name = "ConfigInvalid";
}

/** The config that came is not the one whose digest it has. */
export class DigestMismatch extends Error {
  override readonly name = "DigestMismatch";

  constructor(told: string, computed: string) {
    super(`the config has the digest ${told || "(none)"}, and what came has ${computed}`);
  }
}

/** The stable name of why a config does not run, as Core knows it. */
export function codeOf(error: unknown): string {
  if (isErrno(error, "ENOSPC")) return "DISK_FULL";
  if (isErrno(error, "EACCES") || isErrno(error, "EPERM")) return "PERMISSION_DENIED";
  const [, code = "ENGINE_START_FAILED"] = codes.find(([situation]) => error instanceof situation) ?? [];
  if (code !== "ENGINE_START_FAILED" || !(error instanceof Error)) return code;
  // Engines say it in their last words only.
  if (/address already in use/i.test(error.message)) return "PORT_IN_USE";
  if (/permission denied|operation not permitted/i.test(error.message)) return "PERMISSION_DENIED";
  return code;
}

/** The first that fits counts. */
const codes: readonly (readonly [new (...args: never[]) => Error, string])[] = [
  [ConfigInvalid, "CONFIG_INVALID"],
  [DigestMismatch, "DIGEST_MISMATCH"],
  [ConfigRefused, "ENGINE_TEST_FAILED"],
  [PortInUse, "PORT_IN_USE"],
  [ApplyTimedOut, "ENGINE_APPLY_TIMEOUT"],
  [StartFailed, "ENGINE_START_FAILED"],
];
