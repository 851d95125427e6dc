// Core as it is, over plain text, with nodes and users that are there already. Arguments: the database, how many nodes and
// users there are. The keys of its nodes are those of config-keys.ts.
import { createCore } from "../../src/core/core.ts";
import { hashOf } from "../../src/core/domain/hashed-secret.ts";
import { createServer } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { addNode, addUsers } from "../../test/core/fleet-rows.ts";
import { benchKey } from "./config-keys.ts";
import { openBenchDatabase } from "./open-database.ts";

const [, , place = "", nodes = "1", users = "1"] = process.argv;
const database = await openBenchDatabase(place);
const nodeIds: number[] = [];
for (let n = 0; n < Number(nodes); n += 1) nodeIds.push(await addNode(database, `node-${n + 1}`));
for (let from = 0; from < nodeIds.length; from += 500) {
  const keys = nodeIds.slice(from, from + 500);
  await database.db
    .insertInto("node_key")
    .values(keys.map((node_id, n) => ({ node_id, hash: hashOf(benchKey(from + n)), created_at: 1, first_used_at: 1 })))
    .execute();
}
await addUsers(database, Number(users));

const log = createLog("bench", "warn");
const core = createCore({
  database,
  version: "0.0.0",
  urls: () => ["http://127.0.0.1"],
  caSha256: undefined,
  now: Date.now,
  log,
});
const server = await createServer({ ...core, host: "127.0.0.1", port: 0, log, metrics: createMetrics("bench") });
console.log(new URL(server.url).port);
process.once("SIGTERM", async () => {
  await server.close();
  await core.close();
  await database.close();
});
