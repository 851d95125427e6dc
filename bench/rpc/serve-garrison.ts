// The product's own server over the bench's services. Argument: `short` or `router`.
import { Code } from "@connectrpc/connect";
import { PublicError } from "../../src/platform/rpc/public-error.ts";
import { createServer } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { benchService, isKey } from "./bench-service.ts";
import { itemService } from "./item-service.ts";

const server = await createServer({
  services: [benchService, itemService],
  gate({ header }) {
    if (!isKey(header.get("x-api-key"))) throw new PublicError("no key: send x-api-key", Code.Unauthenticated);
  },
  host: "127.0.0.1",
  port: 0,
  shortPath: process.argv[2] === "short",
  log: createLog("bench", "warn"),
  metrics: createMetrics("bench"),
});
console.log(new URL(server.url).port);
process.once("SIGTERM", () => process.exit());
