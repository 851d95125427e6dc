import { sql } from "kysely";
import { NodeState, NodeStateSchema } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import type { Database } from "../../platform/storage/database.ts";
import { silenceLimits } from "../domain/fleet/node-state.ts";
import type { InboundDay } from "../domain/usage/inbound-check.ts";
import { wordsOf } from "./fleet/message-values.ts";
import { whereState } from "./fleet/node-message.ts";
import type { CoreSchema } from "./schema.ts";

/** How the fleet does. */
export interface FleetReadings {
  /** Nodes, by state. */
  readonly nodes: ReadonlyMap<string, number>;
  /** Nodes that an agent has enrolled, by sync status. */
  readonly syncStatus: ReadonlyMap<string, number>;
  readonly onlineSessions: number;
}

/** Reads how the fleet does. */
export async function readFleet(
  { db }: Pick<Database<CoreSchema>, "db">,
  heartbeatMs: number,
  now: number,
): Promise<FleetReadings> {
  const limits = silenceLimits(now, heartbeatMs);
  const states = await db
    .selectFrom("node")
    .select(({ fn }) =>
      countedStates.map((state) =>
        fn.count<number>(sql`case when ${whereState(state, limits)} then 1 end`).as(stateWords.word(state)),
      ),
    )
    .executeTakeFirstOrThrow();
  const syncStatus = await db
    .selectFrom("node")
    .select(({ fn }) => ["sync_status", fn.countAll<number>().as("nodes")])
    .where("enrolled_at", "is not", null)
    .groupBy("sync_status")
    .execute();
  const { sessions } = await db
    .selectFrom("online_session")
    .select(({ fn }) => fn.countAll<number>().as("sessions"))
    .executeTakeFirstOrThrow();
  return {
    nodes: new Map(Object.entries(states)),
    syncStatus: new Map(syncStatus.map(({ sync_status, nodes }) => [sync_status, nodes])),
    onlineSessions: sessions,
  };
}

/** Reads what inbounds and their users have carried on a day; inbounds that nodes do not count are left out. */
export async function readInboundDay({ db }: Pick<Database<CoreSchema>, "db">, day: number): Promise<InboundDay[]> {
  const rows = await db
    .selectFrom("inbound_day")
    .selectAll()
    .where("day", "=", day)
    .where(sql<boolean>`(bytes_up > 0 or bytes_down > 0)`)
    .orderBy("node_id")
    .orderBy("node_protocol_id")
    .execute();
  return rows.map((row) => ({
    nodeId: row.node_id,
    nodeProtocolId: row.node_protocol_id,
    inboundBytes: row.bytes_up + row.bytes_down,
    userBytes: row.user_bytes,
  }));
}

const stateWords = wordsOf(NodeStateSchema);
const countedStates = [
  NodeState.PENDING,
  NodeState.ONLINE,
  NodeState.STALE,
  NodeState.OFFLINE,
  NodeState.ERROR,
  NodeState.DISABLED,
];
