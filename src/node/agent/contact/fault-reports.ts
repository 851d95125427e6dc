import { create, type JsonObject } from "@bufbuild/protobuf";
import { ErrorSeverity, ReportErrorRequestSchema } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { pause } from "../../../platform/pause.ts";
import type { Logger } from "../../../platform/telemetry/log.ts";
import type { KeptFault, KeptFaults } from "../spool/kept-faults.ts";
import { createBackoff } from "./backoff.ts";
import type { Contact } from "./contact.ts";
import { CoreRefused, isAboutKey } from "./core-client.ts";

/** Something that went wrong on the node. */
interface Fault {
  /** A stable name of the contract's list. */
  readonly code: string;
  readonly message: string;
  /** The revision that failed. Undefined: it is about none, and the sync status stays. */
  readonly revision?: number;
  readonly severity: "warning" | "error";
  readonly details?: JsonObject;
  /**
   * Called when it waits on disk, and cannot be forgotten any more. A fault with this is told by itself: it is not the same
   * as another one that waits.
   */
  readonly kept?: () => void;
}

/** Tells Core what went wrong. */
export interface FaultReports {
  /** Tells it as soon as Core can be reached. The same one, while it waits, is told once, and how often it happened. */
  report(fault: Fault): void;
  /** Ends telling; what waits is told by the next process. */
  close(): Promise<void>;
}

/** Options of {@link createFaultReports}. */
export interface FaultReportOptions {
  readonly contact: Pick<Contact, "call">;
  /** Where faults wait. */
  readonly kept: Pick<KeptFaults, "keep" | "forget">;
  /** What an earlier process has left there, the oldest first. */
  readonly before: readonly KeptFault[];
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly log: Logger;
}

const mostWaiting = 100;

/** Makes them. */
export function createFaultReports({ contact, kept, before, now, log }: FaultReportOptions): FaultReports {
  const waiting = [...before];
  let lastId = before.at(-1)?.id ?? 0;
  const closed = new AbortController();
  const backoff = createBackoff();
  let sending: Promise<void> = Promise.resolve();
  let isSending = false;
  const writing = new Set<Promise<void>>();

  /** A disk that takes nothing is no reason not to tell. */
  function write(work: Promise<void>): void {
    const settled = work
      .catch((err: unknown) => log.debug({ err }, "faults are not kept"))
      .finally(() => writing.delete(settled));
    writing.add(settled);
  }

  async function send(): Promise<void> {
    for (let next = waiting[0]; next !== undefined && !closed.signal.aborted; next = waiting[0]) {
      try {
        const { request } = next;
        await contact.call((core, call) => core.reportError(request, call), { signal: closed.signal });
        drop(0);
        backoff.reset();
      } catch (error) {
        // A key that is refused today may be accepted tomorrow; what else Core refuses, it will refuse again.
        if (error instanceof CoreRefused && !isAboutKey(error)) {
          log.warn({ code: error.code }, `Core does not take note of what went wrong: ${error.message}`);
          drop(0);
        } else await pause(backoff.after(error), closed.signal);
      }
    }
    isSending = false;
  }

  function sendSoon(): void {
    if (isSending || closed.signal.aborted) return;
    isSending = true;
    sending = send();
  }

  function drop(place: number): void {
    for (const { id } of waiting.splice(place, 1)) write(kept.forget(id));
  }

  if (waiting.length > 0) sendSoon();
  return {
    report(fault) {
      const { code, revision, details } = fault;
      log.warn({ code, revision, ...details }, fault.message);
      const message = fault.message.slice(0, mostCharacters);
      const severity = fault.severity === "warning" ? ErrorSeverity.WARNING : ErrorSeverity.ERROR;
      // The first one may be on its way.
      const same = waiting.slice(1).find(({ request }) => request.code === code && request.message === message);
      if (same !== undefined && fault.kept === undefined) {
        same.request.occurrences += 1;
        write(kept.keep(same));
        return;
      }
      if (waiting.length >= mostWaiting) drop(1);
      lastId += 1;
      const request = create(ReportErrorRequestSchema, {
        ...{ code, message, severity, occurrences: 1 },
        ...(revision !== undefined && { revision: BigInt(revision) }),
        // It may be told much later.
        details: { ...details, occurredAt: new Date(now()).toISOString() },
      });
      const added = { id: lastId, request };
      waiting.push(added);
      write(kept.keep(added).then(fault.kept));
      sendSoon();
    },
    async close() {
      closed.abort();
      await sending;
      await Promise.all(writing);
    },
  };
}

// At most 64 KiB of UTF-8.
const mostCharacters = 16_000;
