import { create, type JsonObject } from "@bufbuild/protobuf";
import {
  ErrorSeverity,
  type ReportErrorRequest,
  ReportErrorRequestSchema,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { pause } from "../../../platform/pause.ts";
import type { Logger } from "../../../platform/telemetry/log.ts";
import { createBackoff } from "./backoff.ts";
import type { Contact } from "./contact.ts";
import { CoreRefused } from "./core-client.ts";

/** Something that went wrong on the node. */
interface Fault {
  /** A stable name of the contract's list. */
  readonly code: string;
  readonly message: string;
  /** The revision that failed. Undefined: it is about none, and the sync status stays. */
  readonly revision?: number;
  readonly severity: "warning" | "error";
  readonly details?: JsonObject;
}

/** Tells Core what went wrong. */
export interface FaultReports {
  /** Tells it as soon as Core can be reached. The same one, while it waits, is told once, and how often it happened. */
  report(fault: Fault): void;
  /** Ends telling; what waits is forgotten. */
  close(): Promise<void>;
}

const mostWaiting = 100;

/** Makes them. */
export function createFaultReports(contact: Pick<Contact, "call">, log: Logger): FaultReports {
  const waiting: ReportErrorRequest[] = [];
  const closed = new AbortController();
  const backoff = createBackoff();
  let sending: Promise<void> = Promise.resolve();
  let isSending = false;

  async function send(): Promise<void> {
    for (let next = waiting[0]; next !== undefined && !closed.signal.aborted; next = waiting[0]) {
      try {
        const request = next;
        await contact.call((core, call) => core.reportError(request, call), { signal: closed.signal });
        waiting.shift();
        backoff.reset();
      } catch (error) {
        if (error instanceof CoreRefused) waiting.shift();
        else await pause(backoff.after(error), closed.signal);
      }
    }
    isSending = false;
  }

  return {
    report(fault) {
      const { code, message, revision, details } = fault;
      log.warn({ code, revision, ...details }, message);
      const severity = fault.severity === "warning" ? ErrorSeverity.WARNING : ErrorSeverity.ERROR;
      // The first one may be on its way.
      const same = waiting.slice(1).find((other) => other.code === code && other.message === message);
      if (same !== undefined) {
        same.occurrences += 1;
        return;
      }
      if (waiting.length >= mostWaiting) waiting.splice(1, 1);
      waiting.push(
        create(ReportErrorRequestSchema, {
          ...{ code, message: message.slice(0, mostCharacters), severity, occurrences: 1 },
          ...(revision !== undefined && { revision: BigInt(revision) }),
          ...(details !== undefined && { details }),
        }),
      );
      if (isSending) return;
      isSending = true;
      sending = send();
    },
    async close() {
      closed.abort();
      await sending;
    },
  };
}

// At most 64 KiB of UTF-8.
const mostCharacters = 16_000;
