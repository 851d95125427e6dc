import { create, fromJsonString } from "@bufbuild/protobuf";
import { type Expression, type Selectable, type SqlBool, sql } from "kysely";
import {
  type Node,
  type NodeObservation,
  NodeObservationSchema,
  NodeSchema,
  NodeState,
  NodeStateSchema,
  SyncStatusSchema,
} from "../../../../gen/garrison/core/v1/nodes_pb.ts";
import { nodeState, type silenceLimits } from "../../domain/fleet/node-state.ts";
import type { CoreSchema } from "../schema.ts";
import { timeOf, wordsOf } from "./message-values.ts";

/** A node as it is kept. */
export type NodeRow = Selectable<CoreSchema["node"]>;

/** A node as operators see it. */
export function nodeOf(row: NodeRow, now: number, heartbeatMs: number): Node {
  const signs = {
    disabled: row.disabled === 1,
    enrolledAt: row.enrolled_at,
    lastSeenAt: row.last_seen_at,
    inError: row.in_error === 1,
  };
  return create(NodeSchema, {
    id: BigInt(row.id),
    name: row.name,
    host: row.host,
    ip: row.ip,
    ipPinned: row.ip_pinned === 1,
    domain: row.domain,
    port: row.port,
    region: row.region,
    enabled: row.disabled === 0,
    draining: row.draining === 1,
    rateLimitBps: BigInt(row.rate_limit_bps ?? 0),
    state: stateWords.value(nodeState(signs, now, heartbeatMs)),
    syncStatus: syncWords.value(row.sync_status),
    desiredRevision: BigInt(row.desired_revision),
    reportedRevision: BigInt(row.reported_revision),
    ...(row.error_at !== null && {
      lastError: {
        code: row.error_code,
        message: row.error_message,
        reportedAt: timeOf(row.error_at),
        current: row.in_error === 1,
        details: row.error_details,
        occurrences: row.error_occurrences,
      },
    }),
    agentVersion: row.agent_version,
    protocolVersion: row.protocol_version,
    capabilities: textsIn(row.capabilities),
    keyRotationPending: row.rotate_key === 1,
    createdAt: timeOf(row.created_at),
    enrolledAt: timeOf(row.enrolled_at),
    lastSeenAt: timeOf(row.last_seen_at),
    observed: observationIn(row.observed),
  });
}

/** Nodes in a state: the same as `nodeState` tells, in SQL. */
export function whereState(state: NodeState, limits: ReturnType<typeof silenceLimits>): Expression<SqlBool> {
  const [off, enrolled] = [sql<SqlBool>`disabled = 1`, sql<SqlBool>`disabled = 0 and enrolled_at is not null`];
  const heard = sql<SqlBool>`${enrolled} and last_seen_at >= ${limits.offline}`;
  switch (state) {
    case NodeState.DISABLED:
      return off;
    case NodeState.PENDING:
      return sql<SqlBool>`disabled = 0 and enrolled_at is null`;
    case NodeState.OFFLINE:
      return sql<SqlBool>`${enrolled} and (last_seen_at is null or last_seen_at < ${limits.offline})`;
    case NodeState.ERROR:
      return sql<SqlBool>`${heard} and in_error = 1`;
    case NodeState.STALE:
      return sql<SqlBool>`${heard} and in_error = 0 and last_seen_at < ${limits.stale}`;
    default:
      return sql<SqlBool>`${heard} and in_error = 0 and last_seen_at >= ${limits.stale}`;
  }
}

const stateWords = wordsOf(NodeStateSchema);
const syncWords = wordsOf(SyncStatusSchema);

/** What was kept of a heartbeat, in the JSON of the contract; undefined when nothing was, or it cannot be read. */
function observationIn(text: string): NodeObservation | undefined {
  if (text === "{}" || text === "") return undefined;
  try {
    return fromJsonString(NodeObservationSchema, text, { ignoreUnknownFields: true });
  } catch {
    return undefined;
  }
}

function textsIn(json: string): string[] {
  const value: unknown = JSON.parse(json);
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}
