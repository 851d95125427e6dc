import { randomBytes } from "node:crypto";
import { PassThrough } from "node:stream";
import { createFleetServices } from "../../../src/core/api/fleet/fleet.ts";
import { createCoreGate } from "../../../src/core/api/gate.ts";
import type { ConfigScope } from "../../../src/core/domain/configs.ts";
import { createNodeKeys } from "../../../src/core/domain/node-keys.ts";
import { createOperatorKeys, type OperatorScope } from "../../../src/core/domain/operator-keys.ts";
import { createNodeKeyStore } from "../../../src/core/store/node-keys.ts";
import { createOperatorKeyStore } from "../../../src/core/store/operator-keys.ts";
import type { CoreSchema } from "../../../src/core/store/schema.ts";
import { writeEnrolmentCode } from "../../../src/platform/identity/enrolment-code.ts";
import { createServer } from "../../../src/platform/server/server.ts";
import type { Database } from "../../../src/platform/storage/database.ts";
import { createLog } from "../../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../../src/platform/telemetry/metrics.ts";
import { addOperatorKey } from "../operator-key.ts";
import { type SharedDatabase, shareDatabase } from "../shared-database.ts";
import { type CallRpc, createCaller, type Way } from "./ways.ts";

/** The fleet API behind Core's gate, over a real database. */
export interface FleetUnderTest {
  readonly url: string;
  readonly database: Database<CoreSchema>;
  /** What was to be published, since it was last emptied. */
  readonly published: { scope: ConfigScope; reason: string }[];
  /** Everything that was logged. */
  log(): string;
  /** The clock. Milliseconds since 1970. */
  time: number;
  /** A caller with a key of its own, and that key. */
  caller(way: Way, ...scopes: OperatorScope[]): Promise<{ call: CallRpc; key: string; id: number }>;
  close(): Promise<void>;
}

/** Serves it. */
export async function serveFleetUnderTest(engine: "sqlite" | "postgres"): Promise<FleetUnderTest> {
  const shared: SharedDatabase = await shareDatabase(engine);
  const database = await shared.open();
  const published: FleetUnderTest["published"] = [];
  const lines = new PassThrough();
  let log = "";
  lines.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  const operators = createOperatorKeys({ store: createOperatorKeyStore(database), now: () => under.time });
  const server = await createServer({
    services: createFleetServices({
      database,
      publisher: { changed: (scope, reason) => void published.push({ scope, reason }) },
      codeText: (secret) => writeEnrolmentCode({ secret, urls: ["https://core.example.org"], caSha256: undefined }),
      subscriptionUrl: (token) => `https://core.example.org/sub/${token}`,
      heartbeatMs: 15_000,
      random: randomBytes,
      now: () => under.time,
    }),
    gate: createCoreGate({
      nodeKeys: createNodeKeys({ store: createNodeKeyStore(database), now: () => under.time }),
      operators: [operators],
      now: () => performance.now(),
    }),
    host: "127.0.0.1",
    port: 0,
    log: createLog("core", "trace", lines),
    metrics: createMetrics("core"),
  });
  const under: FleetUnderTest = {
    url: server.url,
    database,
    published,
    log: () => log,
    time: Date.parse("2026-11-21T12:00:00Z"),
    async caller(way, ...scopes) {
      const { id, key } = await addOperatorKey(database, scopes, { now: under.time });
      return { call: createCaller(way, server.url, key), key, id };
    },
    async close() {
      await server.close();
      await shared.close();
    },
  };
  return under;
}
