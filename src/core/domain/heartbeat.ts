import { isIP } from "node:net";
import { create, toJsonString } from "@bufbuild/protobuf";
import type { HeartbeatRequest } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { ApplyState } from "../../../gen/garrison/core/v1/node_status_pb.ts";
import { NodeObservationSchema } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { storableText } from "./storable-text.ts";

/** What Core knows of a node that a heartbeat is judged by. */
export interface NodeStanding {
  readonly nodeId: number;
  /** The installation of the agent that has the node's key. Empty: not told. */
  readonly installId: string;
  /** In milliseconds since 1970; null: never. */
  readonly lastSeenAt: number | null;
  /** The newest revision; 0: there is none. */
  readonly desiredRevision: number;
  /** Its digest. */
  readonly desiredDigest: string;
  readonly syncStatus: string;
  readonly rotateKey: boolean;
  readonly draining: boolean;
}

/** What is noted of a heartbeat. Empty texts change nothing. */
export interface HeartbeatNote {
  readonly nodeId: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly ip: string;
  readonly installId: string;
  readonly agentVersion: string;
  readonly protocolVersion: number;
  /** JSON array. */
  readonly capabilities: string;
  /** JSON of a NodeObservation. */
  readonly observed: string;
  /** What the sync status becomes as long as it is still `syncStatusBefore`, and `desiredRevision` the newest. */
  readonly syncStatus: string;
  readonly syncStatusBefore: string;
  readonly desiredRevision: number;
  /** The error that the node says it is in. Both empty: none. */
  readonly faultCode: string;
  readonly faultMessage: string;
}

/** The node does not run the newest config. */
export function isBehind({ desiredRevision, desiredDigest }: NodeStanding, request: HeartbeatRequest): boolean {
  if (desiredRevision === 0) return false;
  if (request.revision === undefined || Number(request.revision) !== desiredRevision) return true;
  return request.digest !== "" && request.digest !== desiredDigest;
}

/**
 * Somebody else than the agent that the node is known by calls with its key, and that one was there within `silentMs`:
 * a node and its copy.
 */
export function isCopy(standing: NodeStanding, installId: string, at: number, silentMs: number): boolean {
  if (installId === "" || standing.installId === "" || installId === standing.installId) return false;
  return standing.lastSeenAt !== null && at - standing.lastSeenAt < silentMs;
}

/** What is to be noted of a heartbeat. */
export function noteOf(standing: NodeStanding, request: HeartbeatRequest, at: number): HeartbeatNote {
  const { applyState, engines, host, spools, onlineUsers, clock, uptimeSeconds, bootId, lastError } = request;
  const seen = create(NodeObservationSchema, {
    applyState,
    engines,
    spools,
    uptimeSeconds,
    bootId,
    ...(host && { host }),
    ...(onlineUsers !== undefined && { onlineUsers }),
    ...(clock && { clock }),
  });
  return {
    nodeId: standing.nodeId,
    at,
    ip: isIP(request.ip) === 0 ? "" : request.ip,
    // Notes of many nodes are written at once: one that cannot be kept would keep back the others.
    installId: storableText(request.installId),
    agentVersion: storableText(request.agentVersion),
    protocolVersion: request.protocolVersion,
    capabilities: request.capabilities.length === 0 ? "" : JSON.stringify(request.capabilities),
    observed: toJsonString(NodeObservationSchema, seen),
    syncStatus: syncStatusAfter(standing, request),
    // Notes are written later: what the node has reported meanwhile is newer.
    syncStatusBefore: standing.syncStatus,
    desiredRevision: standing.desiredRevision,
    faultCode: storableText(lastError?.code ?? ""),
    faultMessage: storableText(lastError?.message ?? ""),
  };
}

/** What a heartbeat makes of the sync status; empty: nothing. What was applied is for ReportApplied to tell. */
function syncStatusAfter(standing: NodeStanding, request: HeartbeatRequest): string {
  const runsDesired = Number(request.revision ?? -1n) === standing.desiredRevision;
  if (standing.syncStatus === "synced") return runsDesired && isBehind(standing, request) ? "drifted" : "";
  if (runsDesired) return "";
  const told = syncStatusOf[request.applyState] ?? "";
  return told === standing.syncStatus ? "" : told;
}

const syncStatusOf: Partial<Record<ApplyState, string>> = {
  [ApplyState.APPLYING]: "syncing",
  [ApplyState.ROLLED_BACK]: "rolled_back",
  [ApplyState.FAILED]: "failed",
};
