import {
  ErrorSeverity,
  type ReportAppliedRequest,
  type ReportErrorRequest,
} from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { storableText } from "./storable-text.ts";

/** What became of a revision: applied, failed, or nothing that was reported yet. */
export type RevisionOutcome = "applied" | "failed" | "";

/** How a node stands to its revisions. */
export interface SyncState {
  /** The newest revision; 0: there is none. */
  readonly desiredRevision: number;
  /** The highest one that the node has reported as applied; 0: none. */
  readonly reportedRevision: number;
  /** The digest of the revision that a report is about. Undefined: no such revision is known. */
  readonly digest: string | undefined;
  /** What became of it so far. */
  readonly outcome: RevisionOutcome;
}

/** An error that a node has reported. */
interface NodeError {
  readonly code: string;
  readonly message: string;
  /** JSON object; empty: nothing was told besides. */
  readonly details: string;
  /** How often it happened since it was reported last. */
  readonly occurrences: number;
}

/** What a report changes; what is absent stays. */
export interface SyncChange {
  readonly syncStatus?: "synced" | "drifted" | "failed" | "rolled_back";
  readonly inError?: boolean;
  readonly reportedRevision?: number;
  /** The last error of the node. */
  readonly error?: NodeError;
  /** Of the revision that the report is about. */
  readonly outcome?: RevisionOutcome;
  /** What goes into the audit log, where the next error does not replace it. */
  readonly logged?: { readonly action: string; readonly details: Readonly<Record<string, unknown>> };
}

/**
 * After the report of an applied revision. One that is older than one reported before changes the history only. One
 * that Core does not know marks the node as synced all the same, and holds nothing up: what is known counts for later
 * reports.
 */
export function afterApplied(state: SyncState, { revision, digest }: ReportAppliedRequest): SyncChange {
  const applied = Number(revision ?? 0n);
  const known = state.digest !== undefined;
  const history: SyncChange = known ? { outcome: "applied" } : {};
  if (applied < state.reportedRevision) return history;
  const drifted = known && digest !== "" && digest !== state.digest;
  return {
    ...history,
    syncStatus: drifted ? "drifted" : "synced",
    inError: false,
    ...(known && { reportedRevision: applied }),
  };
}

/**
 * After the report of an error. One about a revision that was superseded by an applied one changes the history only;
 * one without a revision is about the newest one, or about none where it says how bad it is.
 */
export function afterError(state: SyncState, report: ReportErrorRequest): SyncChange {
  return { ...changeBy(state, report), ...(report.code === "USAGE_GAP" && { logged: lossOf(report) }) };
}

/** Whoever is asked about the bytes has to find every loss. What engines have said last is not for this log. */
function lossOf({ message, details: { lastWords: _, ...told } = {} }: ReportErrorRequest) {
  const text = JSON.stringify(told);
  const details = text.length > mostDetails ? omitted(text) : told;
  return { action: "node.lose-usage", details: { ...details, message } };
}

function changeBy(state: SyncState, report: ReportErrorRequest): SyncChange {
  const { revision, severity, code, message } = report;
  const occurrences = Math.max(1, report.occurrences);
  const error = {
    ...{ code: storableText(code ?? ""), message: storableText(message) },
    ...{ details: detailsOf(report), occurrences },
  };
  if (severity === ErrorSeverity.WARNING) return { error };
  if (revision === undefined && severity !== ErrorSeverity.UNSPECIFIED) return { error, inError: true };
  const isOld = revision !== undefined && Number(revision) < state.reportedRevision;
  // What runs, and breaks later, was applied all the same.
  const history: SyncChange = revision === undefined && state.outcome !== "" ? {} : { outcome: "failed" };
  if (isOld) return history;
  return { ...history, error, inError: true, syncStatus: code === "ROLLED_BACK" ? "rolled_back" : "failed" };
}

function detailsOf({ details }: ReportErrorRequest): string {
  const text = details === undefined ? "" : JSON.stringify(details);
  return text.length > mostDetails ? JSON.stringify(omitted(text)) : text;
}

function omitted(text: string) {
  return { omitted: `${text.length} characters` };
}

const mostDetails = 16_384;
