import { anyText, executableFile, onOff, wholeNumber } from "../../../platform/config/value-types.ts";
import { optional, type Values, type ValueType, variable } from "../../../platform/config/variables.ts";
import type { HostRoutingSettings } from "./host/host-routing.ts";
import { interfaceNameShape } from "./host/interface-name.ts";

const interfaceName: ValueType<string> = anyText
  .refine((text) => interfaceNameShape.test(text))
  .describe("the name of a network interface: at most 15 letters, digits, `_`, `.` or `-`");

const usualSampleSeconds = 10;
// By these looks one that hangs is found, too.
const mostSampleSeconds = 60;
const sampleSeconds: ValueType<number> = wholeNumber(Number.MIN_SAFE_INTEGER)
  .transform((seconds) => (seconds < 1 ? usualSampleSeconds : Math.min(seconds, mostSampleSeconds)))
  .describe(
    `a whole number; below 1 counts as ${usualSampleSeconds}, above ${mostSampleSeconds} as ${mostSampleSeconds}`,
  );

/** The variables of WireGuard. */
export const wireGuardVariables = {
  WIREGUARD_GO_PATH: optional(executableFile, {
    about: "The wireguard-go that WireGuard runs on where the kernel has none.",
    absent: "what `garrison engines install wireguard` has installed, else `wireguard-go` from the `PATH`",
  }),
  PG_NODE_WG_HOST_ROUTING: variable(onOff, {
    about:
      "On: while WireGuard runs, what its peers send is forwarded and masqueraded, by rules of nftables that are removed " +
      "when it stops. Off: that is left to you.",
    default: "on",
  }),
  PG_NODE_WG_NAT_OUTPUT_INTERFACE: optional(interfaceName, {
    about: "The interface by which packets of WireGuard's peers leave, and latency is probed.",
    absent: "that of the default route, for IPv4 and IPv6 each its own",
  }),
  PG_NODE_WG_NAT_EGRESS_ONLY: variable(onOff, {
    about:
      "On: whatever leaves by that interface is masqueraded, wherever it comes from, as in the original, where that is " +
      "the default. Off: only what comes from WireGuard's interface.",
    default: "off",
  }),
  STATS_UPDATE_INTERVAL_SECONDS: variable(sampleSeconds, {
    about:
      "Seconds between looks at WireGuard's counters besides those when somebody asks: what a crash of wireguard-go can lose.",
    default: `${usualSampleSeconds}`,
  }),
};

/** The settings of WireGuard, but for where its program is. */
export interface WireGuardSettings {
  /** Undefined: the host's routing is left alone. */
  readonly hostRouting: HostRoutingSettings | undefined;
  /** Undefined: that of the default route. */
  readonly egressInterface: string | undefined;
  /** Seconds between looks at the counters. */
  readonly sampleSeconds: number;
}

/** The settings that variables say. */
export function wireGuardSettings(values: Values<typeof wireGuardVariables>): WireGuardSettings {
  const { PG_NODE_WG_HOST_ROUTING, PG_NODE_WG_NAT_OUTPUT_INTERFACE, PG_NODE_WG_NAT_EGRESS_ONLY } = values;
  return {
    hostRouting: PG_NODE_WG_HOST_ROUTING ? { masqueradeAll: PG_NODE_WG_NAT_EGRESS_ONLY } : undefined,
    egressInterface: PG_NODE_WG_NAT_OUTPUT_INTERFACE,
    sampleSeconds: values.STATS_UPDATE_INTERVAL_SECONDS,
  };
}
