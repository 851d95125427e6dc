// Core as it is, over plain text. Argument: the database, which gets its subscriptions when it is new.
import { createCore } from "../../src/core/core.ts";
import { createServer } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { openSubscriptions } from "./subscription-database.ts";

const database = await openSubscriptions(process.argv[2] ?? "");
const log = createLog("bench", "warn");
const core = createCore({
  database,
  version: "0.0.0",
  urls: () => ["https://core.example.org"],
  caSha256: undefined,
  now: Date.now,
  log,
});
const server = await createServer({ ...core, host: "127.0.0.1", port: 0, log, metrics: createMetrics("bench") });
console.log(new URL(server.url).port);
process.once("SIGTERM", () => process.exit());
