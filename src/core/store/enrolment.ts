import type { Selectable, Transaction } from "kysely";
import type { Database } from "../../platform/storage/database.ts";
import { UniqueViolation } from "../../platform/storage/errors.ts";
import {
  type EnrolmentStore,
  type NodeFacts,
  NodeNameTaken,
  type RegistrationSteps,
  type StoredEnrolmentCode,
} from "../domain/enrolment.ts";
import { recordAudit } from "./audit.ts";
import { addFirstOutbound } from "./first-outbound.ts";
import type { CoreSchema } from "./schema.ts";
import { topics } from "./topics.ts";

/** Enrolment in the database. */
export function createEnrolmentStore({ prepare, transaction, events }: Database<CoreSchema>): EnrolmentStore {
  const find = prepare<{ hash: Uint8Array }, Selectable<CoreSchema["enrolment_code"]>>((db, { hash }) =>
    db.selectFrom("enrolment_code").selectAll().where("hash", "=", hash),
  );
  const findCode = async (hash: Uint8Array, tx?: Transaction<CoreSchema>) => {
    const row = await find.first({ hash }, tx);
    return row && codeOf(row);
  };

  return {
    findCode: (hash) => findCode(hash),
    transaction: (work) =>
      transaction((tx) => work({ ...stepsIn(tx, events), findCode: (hash) => findCode(hash, tx) })),
  };
}

function stepsIn(
  tx: Transaction<CoreSchema>,
  events: Database<CoreSchema>["events"],
): Omit<RegistrationSteps, "findCode"> {
  return {
    async useCode(hash, at, installId) {
      const row = await tx
        .updateTable("enrolment_code")
        .set({ used_at: at, used_by_install_id: installId })
        .where("hash", "=", hash)
        .where("used_at", "is", null)
        .where("revoked_at", "is", null)
        .where("expires_at", ">", at)
        .returningAll()
        .executeTakeFirst();
      return row && codeOf(row);
    },
    async addNode(name, facts, at) {
      try {
        const { id } = await tx
          .insertInto("node")
          .values({ name, ...agentOf(facts), ...placeOf(facts), created_at: at, enrolled_at: at })
          .returning("id")
          .executeTakeFirstOrThrow();
        await addFirstOutbound(tx, id);
        return id;
      } catch (error) {
        throw error instanceof UniqueViolation ? new NodeNameTaken(name) : error;
      }
    },
    async updateNode(nodeId, facts, at) {
      const known = await tx
        .selectFrom("node")
        .select(["install_id", "ip", "ip_pinned", "host", "domain", "port", "region"])
        .where("id", "=", nodeId)
        .executeTakeFirstOrThrow();
      await tx
        .updateTable("node")
        .set({
          ...agentOf(facts),
          ip: known.ip_pinned === 1 ? known.ip : facts.ip,
          host: known.host || facts.host,
          domain: known.domain || facts.domain,
          port: known.port || facts.port,
          region: known.region || facts.region,
          enrolled_at: at,
          rotate_key: 0,
        })
        .where("id", "=", nodeId)
        .execute();
      // Another installation does not know who came to the one before, and will not tell that they go.
      if (facts.installId !== known.install_id)
        await tx.deleteFrom("online_session").where("node_id", "=", nodeId).execute();
    },
    async noteRegistration(codeId, nodeId, at) {
      await tx.updateTable("enrolment_code").set({ used_by_node_id: nodeId }).where("id", "=", codeId).execute();
      const target = `node:${nodeId}`;
      await recordAudit(tx, { at, actor: target, action: "node.register", target, details: { code: codeId } });
    },
    async hasUsedKey(nodeId) {
      const used = await tx
        .selectFrom("node_key")
        .select("id")
        .where("node_id", "=", nodeId)
        .where("revoked_at", "is", null)
        .where("first_used_at", "is not", null)
        .limit(1)
        .executeTakeFirst();
      return used !== undefined;
    },
    async replaceKeys(nodeId, hash, at) {
      await tx
        .updateTable("node_key")
        .set({ revoked_at: at })
        .where("node_id", "=", nodeId)
        .where("revoked_at", "is", null)
        .execute();
      await tx.insertInto("node_key").values({ node_id: nodeId, hash, created_at: at }).execute();
      await events.publish(topics.nodeKeys, `${nodeId}`, tx);
      await events.publish(topics.nodes, `${nodeId}`, tx);
    },
  };
}

/** What is known of the agent. */
function agentOf({ installId, agentVersion, protocolVersion, capabilities }: NodeFacts) {
  return {
    install_id: installId,
    agent_version: agentVersion,
    protocol_version: protocolVersion,
    capabilities: JSON.stringify(capabilities),
  };
}

/** Where it is. */
function placeOf({ host, ip, domain, port, region }: NodeFacts) {
  return { host, ip, domain, port, region };
}

function codeOf(row: Selectable<CoreSchema["enrolment_code"]>): StoredEnrolmentCode {
  return {
    id: row.id,
    nodeId: row.node_id,
    region: row.region,
    revokedAt: row.revoked_at,
    usedAt: row.used_at,
    usedByNodeId: row.used_by_node_id,
    usedByInstallId: row.used_by_install_id,
  };
}
