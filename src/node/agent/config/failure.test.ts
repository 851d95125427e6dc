import { expect, test } from "vitest";
import { ApplyTimedOut, ConfigRefused, PortInUse, StartFailed } from "../../engines/engine-error.ts";
import { ConfigInvalid, codeOf, DigestMismatch } from "./failure.ts";

test.each<[unknown, code: string]>([
  [new ConfigInvalid("services.wireguard.inbounds is empty"), "CONFIG_INVALID"],
  [new DigestMismatch("ab", "cd"), "DIGEST_MISMATCH"],
  [new ConfigRefused("invalid wireguard private key"), "ENGINE_TEST_FAILED"],
  [new PortInUse("443 is in use"), "PORT_IN_USE"],
  [new StartFailed("WireGuard refuses what it was given: address already in use"), "PORT_IN_USE"],
  [new StartFailed("ip link set dev wg0 up: RTNETLINK answers: Address already in use"), "PORT_IN_USE"],
  [
    new StartFailed("ip link add: RTNETLINK answers: Operation not permitted; it needs CAP_NET_ADMIN"),
    "PERMISSION_DENIED",
  ],
  [new StartFailed("listen tcp :443: bind: permission denied"), "PERMISSION_DENIED"],
  [Object.assign(new Error("write"), { code: "EACCES" }), "PERMISSION_DENIED"],
  [Object.assign(new Error("write"), { code: "ENOSPC" }), "DISK_FULL"],
  [new StartFailed("this kernel has no WireGuard, and there is no wireguard-go"), "ENGINE_START_FAILED"],
  [new ApplyTimedOut("not taken over"), "ENGINE_APPLY_TIMEOUT"],
  [new Error("who knows"), "ENGINE_START_FAILED"],
])("%s is told as %s", (error, code) => expect(codeOf(error)).toBe(code));
