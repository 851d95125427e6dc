import { setTimeout } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { NodeAgentService, WatchConfigRequestSchema } from "../../gen/garrison/core/v1/node_agent_pb.ts";
import { answerTo } from "../../src/core/api/errors.ts";
import { kNode } from "../../src/core/api/gate.ts";
import { createConfigHandlers } from "../../src/core/api/node-configs.ts";
import type { ConfigPublisher, Configs } from "../../src/core/domain/configs.ts";
import { openConfigs } from "../../src/core/open-configs.ts";
import { createConfigStore } from "../../src/core/store/config-store.ts";
import type { CoreSchema } from "../../src/core/store/schema.ts";
import { answerErrors } from "../../src/platform/rpc/interceptors/answer-errors.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";
import { createServer, type Server } from "../../src/platform/server/server.ts";
import type { Database } from "../../src/platform/storage/database.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { afterOperations, agentDigest, contentOf } from "./agent-config.ts";
import { addNode, addUsers } from "./fleet-rows.ts";
import { emptyTables, engines, type SharedDatabase, shareDatabase } from "./shared-database.ts";

/** A Core that does nothing but configs. The caller says which node it is. */
interface Replica {
  readonly server: Server;
  readonly configs: Configs;
  readonly publisher: ConfigPublisher;
  client(nodeId: number): Client<typeof NodeAgentService>;
  close(): Promise<void>;
}

async function startReplica(database: Database<CoreSchema>): Promise<Replica> {
  const debounce = { quietMs: 20, mostMs: 100 };
  const opened = openConfigs({ database, now: Date.now, log: { warn: () => undefined }, debounce });
  const { configs, publisher } = opened;
  const keys = { follow: () => ({ ended: new AbortController().signal, close: () => undefined }) };
  const server = await createServer({
    services: [
      serveService(NodeAgentService, createConfigHandlers(configs, keys), { interceptors: [answerErrors(answerTo)] }),
    ],
    gate: ({ header, values }) => void values.set(kNode, { nodeId: Number(header.get("x-node-id")), keyId: 1 }),
    host: "127.0.0.1",
    port: 0,
    log: createLog("test", "silent"),
    metrics: createMetrics("test"),
  });
  return {
    server,
    configs,
    publisher,
    client(nodeId) {
      const transport = createGrpcTransport({
        baseUrl: server.url,
        interceptors: [
          (next) => (request) => {
            request.header.set("x-node-id", `${nodeId}`);
            return next(request);
          },
        ],
      });
      return createClient(NodeAgentService, transport);
    },
    async close() {
      await server.close();
      await opened.close();
    },
  };
}

describe.each(engines)("configs on %s", (engine) => {
  let shared: SharedDatabase;
  let database: Database<CoreSchema>;
  let replica: Replica;
  let node: number;
  const streams: AbortController[] = [];
  beforeAll(async () => {
    shared = await shareDatabase(engine);
    database = await shared.open();
    replica = await startReplica(database);
  });
  afterAll(async () => {
    await replica.close();
    await shared.close();
  });
  beforeEach(async () => {
    await emptyTables(database, "revision", "config_blob", "account", "node");
    node = await addNode(database, "a");
  });
  afterEach(() => {
    for (const stream of streams.splice(0)) stream.abort();
  });

  const revisionOf = async (nodeId: number) =>
    (await createConfigStore(database).heads([nodeId])).get(nodeId)?.revision;
  /** Adds users and waits for the revision that has them. */
  const publish = async (users: number, by = replica) => {
    const before = (await revisionOf(node)) ?? 0;
    const subscriptionIds = await addUsers(database, users);
    by.publisher.changed({ subscriptionIds }, "users added");
    for (let waited = 0; (await revisionOf(node)) !== before + 1; waited += 10) {
      if (waited > 5_000) throw new Error("nothing was published");
      await setTimeout(10);
    }
    return before + 1;
  };
  const get = (header: Record<string, string> = {}, query = "", from = replica) =>
    fetch(`${from.server.url}/node/config/latest${query}`, { headers: { "x-node-id": `${node}`, ...header } });
  const watch = (from = replica, deltas = false) => {
    const end = new AbortController();
    streams.push(end);
    const events = from.client(node).watchConfig({ deltas }, { signal: end.signal })[Symbol.asyncIterator]();
    return { end, next: async () => (await events.next()).value?.event };
  };
  const statusOf = async () =>
    database.db.selectFrom("node").selectAll().where("id", "=", node).executeTakeFirstOrThrow();

  test("a node without a config is told that there is none", async () => {
    const answer = await get();
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ ok: false, code: "CONFIG_MISSING" });
    expect((await get({ "accept-encoding": "gzip" }, "?wait=1")).status).toBe(404);
  });

  test("the config over REST has its digest and an ETag, is compressed for those who take it, and 304 while it is known", async () => {
    await publish(100);
    const answer = await get({ "accept-encoding": "gzip;q=0" });
    expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
    expect(answer.headers.get("cache-control")).toBe("private, no-cache");
    expect(answer.headers.get("content-encoding")).toBeNull();
    const text = await answer.text();
    const { revision, digest, ...config } = JSON.parse(text);
    expect({ revision, users: Object.keys(config.clientMap).length }).toEqual({ revision: 1, users: 100 });
    const { config: message } = await replica.client(node).getConfig({});
    if (message === undefined) throw new Error("there is no config");
    expect(JSON.parse(contentOf(message))).toEqual(config);
    expect([agentDigest(message), message.digest, message.revision]).toEqual([digest, digest, 1n]);

    const compressed = await get({ "accept-encoding": "br, gzip" });
    expect(compressed.headers.get("content-encoding")).toBe("gzip");
    expect(await compressed.text()).toBe(text);

    const etag = answer.headers.get("etag") ?? "";
    const known = await get({ "if-none-match": `"other", W/${etag}` });
    expect({ status: known.status, etag: known.headers.get("etag"), body: await known.text() }).toEqual({
      status: 304,
      etag,
      body: "",
    });
    await publish(1);
    expect((await get({ "if-none-match": etag })).status).toBe(200);
  });

  test("an agent of the documented routes gets revision, clientMap and services, and nothing else", async () => {
    await database.db.updateTable("node").set({ protocol_version: 0 }).where("id", "=", node).execute();
    await publish(1);
    expect(Object.keys(JSON.parse(await (await get()).text()))).toEqual(["revision", "clientMap", "services"]);
  });

  test("a long poll is answered when there is a newer config, and with 304 when the time is up", async () => {
    await publish(1);
    const etag = (await get()).headers.get("etag") ?? "";
    const waiting = get({ "if-none-match": etag }, "?wait=10");
    const over = get({ "if-none-match": etag }, "?wait=1");
    const unchanged = await replica.client(node).getConfig({ digest: etag.slice(5, -1), wait: 0 });
    expect(unchanged.unchanged).toBe(true);
    expect((await over).status).toBe(304);
    await publish(1);
    const answer = await waiting;
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ revision: 2 });
  });

  test("a delta is answered where it is welcome and shorter, from the config that the agent has", async () => {
    await publish(100);
    const client = replica.client(node);
    const { config: old } = await client.getConfig({});
    if (old === undefined) throw new Error("there is no config");
    await publish(1);
    const { delta } = await client.getConfig({ since: 1n, digest: old.digest });
    expect(delta).toMatchObject({ baseDigest: old.digest, revision: 2n });
    expect(agentDigest(afterOperations(old, delta?.operations ?? []))).toBe(delta?.digest);
    // No digest, another one, a revision that never was: a whole config says what is true without a doubt.
    expect((await client.getConfig({ since: 1n })).delta).toBeDefined();
    expect((await client.getConfig({ since: 1n, digest: "f".repeat(64) })).config).toMatchObject({ revision: 2n });
    expect((await client.getConfig({ since: 9n })).config).toBeDefined();
    expect((await client.getConfig({})).config).toBeDefined();
    await publish(100);
    expect((await client.getConfig({ since: 1n, digest: old.digest })).config).toBeDefined();
  });

  test("a stream tells at once what there is, then what is new, as deltas to those who want them", async () => {
    const early = watch();
    expect(await early.next()).toMatchObject({ case: "keepAlive" });
    await publish(50);
    expect(await early.next()).toMatchObject({ case: "announcement", value: { revision: 1n } });
    early.end.abort();
    const stream = watch(replica, true);
    expect(await stream.next()).toMatchObject({ case: "announcement", value: { revision: 1n } });
    const { config } = await replica.client(node).getConfig({});
    await publish(1);
    const event = await stream.next();
    if (event?.case !== "delta" || config === undefined) throw new Error("no delta came");
    expect(agentDigest(afterOperations(config, event.value.operations))).toBe(event.value.digest);
    await publish(100);
    expect(await stream.next()).toMatchObject({ case: "announcement", value: { revision: 3n } });
  });

  test("who reads slowly misses what came between, and gets the newest", async () => {
    await publish(1);
    const stream = replica.configs
      .watch(node, create(WatchConfigRequestSchema), new AbortController().signal)
      [Symbol.asyncIterator]();
    expect((await stream.next()).value.event.value.revision).toBe(1n);
    for (let more = 0; more < 3; more++) await publish(1);
    expect((await stream.next()).value.event.value.revision).toBe(4n);
    await stream.return?.();
  });

  test("a second stream of a node ends the first, also when another replica has it", async () => {
    await publish(1);
    const other = engine === "postgres" ? await startReplica(await shared.open()) : replica;
    const first = watch();
    await first.next();
    // Both have heard of the first one.
    await setTimeout(100);
    const second = watch(other);
    await second.next();
    const failure = ConnectError.from(await first.next().catch((error: unknown) => error));
    expect(failure.code).toBe(Code.Aborted);
    await publish(1);
    expect(await second.next()).toMatchObject({ case: "announcement", value: { revision: 2n } });
    second.end.abort();
    if (other !== replica) await other.close();
  });

  if (engine === "postgres") {
    test("what one replica publishes, nodes at the other hear of", async () => {
      await publish(1);
      const other = await startReplica(await shared.open());
      const stream = watch(other);
      await stream.next();
      const etag = (await get({}, "", other)).headers.get("etag") ?? "";
      const waiting = get({ "if-none-match": etag }, "?wait=10", other);
      await publish(1, replica);
      expect(await stream.next()).toMatchObject({ case: "announcement", value: { revision: 2n } });
      expect((await waiting).status).toBe(200);
      stream.end.abort();
      await other.close();
    });
  }

  test("reports move the node's status, and what became of a revision is kept", async () => {
    await publish(1);
    const client = replica.client(node);
    const outcomes = async () =>
      (
        await database.db
          .selectFrom("revision")
          .select("outcome")
          .where("node_id", "=", node)
          .orderBy("revision")
          .execute()
      ).map(({ outcome }) => outcome);
    expect(await statusOf()).toMatchObject({ sync_status: "pending" });
    await client.reportApplied({ revision: 1n });
    expect(await statusOf()).toMatchObject({ sync_status: "synced", reported_revision: 1, in_error: 0 });
    await publish(1);
    expect(await statusOf()).toMatchObject({ sync_status: "pending", desired_revision: 2 });
    const told = { message: "no\0", code: "ENGINE_TEST_FAILED", revision: 2n };
    await client.reportError({ ...told, details: { tries: 2, last: "\0" }, occurrences: 3 });
    expect(await statusOf()).toMatchObject({
      sync_status: "failed",
      in_error: 1,
      error_code: "ENGINE_TEST_FAILED",
      error_message: "no",
      error_details: String.raw`{"tries":2,"last":"\u0000"}`,
      error_occurrences: 3,
    });
    expect(await outcomes()).toEqual(["applied", "failed"]);
    await publish(1);
    await client.reportApplied({ revision: 3n });
    // Late, and about what a newer one has replaced.
    await client.reportError({ message: "late", revision: 2n });
    await client.reportApplied({ revision: 2n });
    expect(await statusOf()).toMatchObject({ sync_status: "synced", reported_revision: 3, in_error: 0 });
    expect(await outcomes()).toEqual(["applied", "applied", "applied"]);
    await client.reportError({ message: "crashed" });
    expect(await statusOf()).toMatchObject({
      sync_status: "failed",
      in_error: 1,
      error_code: "",
      error_message: "crashed",
    });
  });
});
