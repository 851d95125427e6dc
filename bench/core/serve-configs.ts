// Core as far as configs go: nodes with keys, their newest configs, their streams. Arguments: the database, how many nodes
// and users there are. Each message makes one more user.
import { NodeAgentService } from "../../gen/garrison/core/v1/node_agent_pb.ts";
import { createCoreGate } from "../../src/core/api/gate.ts";
import { createConfigHandlers } from "../../src/core/api/node-configs.ts";
import { hashOf } from "../../src/core/domain/hashed-secret.ts";
import { createNodeKeys } from "../../src/core/domain/node-keys.ts";
import { openConfigs } from "../../src/core/open-configs.ts";
import { readHeads } from "../../src/core/store/config-heads.ts";
import { createNodeKeyStore } from "../../src/core/store/node-keys.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";
import { createServer } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { addNode, addUsers } from "../../test/core/fleet-rows.ts";
import { benchKey } from "./config-keys.ts";
import { openBenchDatabase } from "./open-database.ts";

const [, , place = "", nodes = "1", users = "1"] = process.argv;
const database = await openBenchDatabase(place);
const nodeIds: number[] = [];
for (let n = 1; n <= Number(nodes); n += 1) nodeIds.push(await addNode(database, `node-${n}`));
await database.db
  .insertInto("node_key")
  .values(nodeIds.map((node_id, n) => ({ node_id, hash: hashOf(benchKey(n)), created_at: 1, first_used_at: 1 })))
  .execute();
await addUsers(database, Number(users));

const log = createLog("bench", "warn");
const { configs, publisher } = openConfigs({ database, now: Date.now, log });
publisher.changed("all", "created");
while ((await readHeads(database, nodeIds)).size < nodeIds.length)
  await new Promise((resolve) => setTimeout(resolve, 50));

const nodeKeys = createNodeKeys({ store: createNodeKeyStore(database), now: Date.now });
const server = await createServer({
  services: [serveService(NodeAgentService, createConfigHandlers(configs, nodeKeys))],
  gate: createCoreGate({
    nodeKeys,
    operators: [],
    now: () => performance.now(),
  }),
  host: "127.0.0.1",
  port: 0,
  log,
  metrics: createMetrics("bench"),
});
console.log(new URL(server.url).port);
process.on("message", async () => {
  publisher.changed({ subscriptionIds: await addUsers(database, 1) }, "user added");
});
process.once("SIGTERM", () => process.exit());
