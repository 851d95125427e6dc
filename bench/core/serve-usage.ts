// The product's way of reports: key, JSON, validation, cursor, rows and counters, on one port. Argument: the database.
import { Code } from "@connectrpc/connect";
import { NodeAgentService } from "../../gen/garrison/core/v1/node_agent_pb.ts";
import { createUsageBooking } from "../../src/core/domain/usage/usage-booking.ts";
import { createUsageStore } from "../../src/core/store/usage/usage-store.ts";
import { PublicError } from "../../src/platform/rpc/public-error.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";
import { createServer } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { nodeKey } from "./usage-bodies.ts";
import { openFleet } from "./usage-database.ts";

const database = await openFleet(process.argv[2] ?? "");
const booking = createUsageBooking({
  store: createUsageStore(database),
  configs: { changed: () => undefined },
  limits: { maxEntries: 5000, maxEvents: 2000 },
  now: Date.now,
});
const nodeOf = (header: Headers) => {
  const key = header.get("x-node-auth-key") ?? "";
  if (!key.startsWith(nodeKey)) throw new PublicError("no key: send x-node-auth-key", Code.Unauthenticated);
  return Number(key.slice(nodeKey.length));
};
const server = await createServer({
  services: [
    serveService(NodeAgentService, {
      reportUsage: (request, { requestHeader }) => booking.reportUsage(nodeOf(requestHeader), request),
    }),
  ],
  gate: ({ header }) => void nodeOf(header),
  host: "127.0.0.1",
  port: 0,
  log: createLog("bench", "warn"),
  metrics: createMetrics("bench"),
});
console.log(new URL(server.url).port);
process.once("SIGTERM", () => process.exit());
