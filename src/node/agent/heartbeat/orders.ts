import type { HeartbeatResponse } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { Logger } from "../../../platform/telemetry/log.ts";
import type { FaultReports } from "../contact/fault-reports.ts";
import { isOlder } from "./versions.ts";

/** What Core says of the node as a whole, besides its config. */
export interface Orders {
  /** The node is about to be taken away. */
  readonly isDraining: boolean;
  /** Core has said what it wants now. */
  heard(answer: Pick<HeartbeatResponse, "drain" | "minAgentVersion">): void;
  /** This machine's clock is so many milliseconds behind Core's; undefined: it is not known. */
  clockHeard(offsetMs: number | undefined): void;
}

/** Options of {@link createOrders}. */
export interface OrdersOptions {
  /** The agent's own version. */
  readonly version: string;
  readonly faults: Pick<FaultReports, "report">;
  readonly log: Logger;
}

/** Makes them; nothing was heard yet. Operators are told of what changes, once. */
export function createOrders({ version, faults, log }: OrdersOptions): Orders {
  let isDraining = false;
  let toldOf = "";
  let isClockWrong = false;
  return {
    get isDraining() {
      return isDraining;
    },
    heard({ drain, minAgentVersion }) {
      if (drain !== isDraining) {
        isDraining = drain;
        log.info(
          drain
            ? "Core drains this node: new users are not let in, and those that are there are served on"
            : "Core drains this node no longer: new users are let in again",
        );
      }
      if (minAgentVersion === toldOf) return;
      toldOf = minAgentVersion;
      if (minAgentVersion === "" || !isOlder(version, minAgentVersion)) return;
      faults.report({
        ...{ code: "AGENT_TOO_OLD", severity: "warning" },
        message: `this agent is version ${version}, and Core wants ${minAgentVersion} at least: update it. It works on`,
        details: { version, minAgentVersion },
      });
    },
    clockHeard(offsetMs = 0) {
      const wasWrong = isClockWrong;
      isClockWrong = Math.abs(offsetMs) > mostSkewMs;
      if (!isClockWrong || wasWrong) return;
      const seconds = Math.round(Math.abs(offsetMs) / 1_000);
      faults.report({
        ...{ code: "CLOCK_SKEW", severity: "warning" },
        message: `this server's clock is ${seconds} s ${offsetMs > 0 ? "behind" : "ahead of"} Core's: see to its time service`,
        details: { offsetMs },
      });
    },
  };
}

/** So much is nothing to report. */
const mostSkewMs = 30_000;
