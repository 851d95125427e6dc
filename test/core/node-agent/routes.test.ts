import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test, vi } from "vitest";
import { hashOf } from "../../../src/core/domain/hashed-secret.ts";
import { describeScene } from "../scene.ts";
import { openNodeAgentScene, refusalOf } from "./scene.ts";

describeScene("the routes of nodes", openNodeAgentScene, (scene) => {
  test("a node fetches its config, applies it, reports, and fails, as a client that knows nothing else", async () => {
    const { core } = scene;
    const { nodeId, key } = await core.enrol("routes");
    const withKey = `x-node-auth-key: ${key}`;
    const config = await vi.waitFor(async () => {
      scene.clock.now += 500;
      const answer = await core.curl("/node/config/latest", undefined, withKey);
      expect(answer.status).toBe(200);
      return JSON.parse(answer.text);
    }, 20_000);
    expect(config).toMatchObject({ revision: 1, clientMap: {}, services: {} });
    const ok = { status: 200, text: '{"ok":true}' };
    expect(await core.curl("/node/config/applied", '{"revision":1}', withKey)).toMatchObject(ok);
    expect(await scene.nodeRow(nodeId)).toMatchObject({ sync_status: "synced", reported_revision: 1 });
    const recordedAt = new Date(scene.clock.now).toISOString();
    const entry = `{"userId":7,"subscriptionId":null,"nodeProtocolId":3,"bytesUp":1,"bytesDown":2,"recordedAt":"${recordedAt}"}`;
    expect(await core.curl("/node/usage", `{"entries":[${entry}]}`, withKey)).toMatchObject(ok);
    const item = '{"tag":"direct","bytesUp":10,"bytesDown":20}';
    expect(await core.curl("/node/outbound-usage", `{"items":[${item}]}`, withKey)).toMatchObject(ok);
    const event = `{"userId":7,"protocol":"vless","eventType":"online","occurredAt":"${recordedAt}","ipAddress":"198.51.100.4"}`;
    expect(await core.curl("/node/session-events", `{"events":[${event}]}`, withKey)).toMatchObject(ok);
    const error = '{"message":"xray exited","code":"ENGINE_CRASHED","details":{"exitCode":23}}';
    expect(await core.curl("/node/error", error, withKey)).toMatchObject(ok);
    expect(await scene.nodeRow(nodeId)).toMatchObject({
      in_error: 1,
      sync_status: "failed",
      error_code: "ENGINE_CRASHED",
    });
  });

  test("a batch that is out of order, or changed, is told by its name and changes nothing", async () => {
    const { key } = await scene.core.enrol("batches");
    const send = (seq: number, tag: string) =>
      scene.core.curl(
        "/node/outbound-usage",
        `{"items":[{"tag":"${tag}","bytesUp":1,"bytesDown":1}],"batch":{"epoch":"e","seq":${seq}}}`,
        `x-node-auth-key: ${key}`,
      );
    expect(refusalOf(await send(2, "a"))).toEqual({ status: 409, code: "EPOCH_UNKNOWN" });
    expect((await send(1, "a")).text).toBe('{"ok":true,"ackedSeq":1,"quarantined":1}');
    expect((await send(1, "a")).text).toBe('{"ok":true,"ackedSeq":1,"duplicate":true}');
    expect(refusalOf(await send(1, "b"))).toEqual({ status: 409, code: "BATCH_MISMATCH" });
    const gap = await send(3, "a");
    expect(refusalOf(gap)).toEqual({ status: 409, code: "SEQUENCE_GAP" });
    expect(JSON.parse(gap.text).details).toMatchObject([{ expected: 2 }]);
  });

  test("too many entries are refused, with what is accepted", async () => {
    const { key } = await scene.core.enrol("many");
    const items = Array(5_001).fill('{"tag":"a"}').join(",");
    const answer = await scene.core.curl("/node/outbound-usage", `{"items":[${items}]}`, `x-node-auth-key: ${key}`);
    expect(refusalOf(answer)).toEqual({ status: 413, code: "PAYLOAD_TOO_LARGE" });
    expect(JSON.parse(answer.text).details).toMatchObject([
      { maxEntries: 5_000, maxEvents: 2_000, maxBytes: 1_048_576 },
    ]);
  });

  test("a config that was not published yet is told to be missing", async () => {
    const { core } = scene;
    const key = `nk_${"u".repeat(43)}`;
    const { id } = await core.database.db
      .insertInto("node")
      .values({ name: "unpublished", host: "", ip: "192.0.2.1", created_at: scene.clock.now })
      .returning("id")
      .executeTakeFirstOrThrow();
    await core.database.db
      .insertInto("node_key")
      .values({ node_id: id, hash: hashOf(key), created_at: scene.clock.now })
      .execute();
    const failure = await core.agent("connect", key).getConfig({}).catch(ConnectError.from);
    expect(failure).toMatchObject({ code: Code.NotFound });
    expect(failure).toSatisfy((error: ConnectError) => error.metadata.get("garrison-code") === "CONFIG_MISSING");
  });

  describe("bad input", () => {
    test.each([
      ["/node/register", '{"code":"x","name":"","ip":"203.0.113.1"}', "name"],
      ["/node/register", '{"code":"x","name":"n","ip":"fra-1"}', "ip"],
      ["/node/register", `{"code":"${"x".repeat(5_000)}","name":"n","ip":"203.0.113.1"}`, "code"],
      ["/node/register", "not json", ""],
      ["/node/register", '{"code":"x","name":"n\\u0000","ip":"203.0.113.1"}', "zero character"],
      ["/node/heartbeat", '{"revision":-1}', "revision"],
      ["/node/heartbeat", '{"revision":"seven"}', "revision"],
    ])("%s %.60s… is refused, naming what is wrong", async (path, body, named) => {
      const { key } = await scene.core.enrol(`bad-${path}-${body.slice(0, 60)}`);
      const { status, text } = await scene.core.curl(path, body, `x-node-auth-key: ${key}`);
      expect(status).toBe(400);
      expect(JSON.parse(text)).toMatchObject({ ok: false, error: expect.stringContaining(named) });
    });

    test("a body of 10 MiB is refused by its size, and before anything by its key", async () => {
      const { core } = scene;
      const { key } = await core.enrol("large");
      const body = JSON.stringify({ ip: "x".repeat(10 * 1024 * 1024) });
      const refusal = await core.curl("/node/heartbeat", body, `x-node-auth-key: ${key}`);
      expect(refusalOf(refusal)).toEqual({ status: 413, code: "PAYLOAD_TOO_LARGE" });
      expect(JSON.parse(refusal.text).details).toMatchObject([{ maxEntries: 5_000, maxBytes: 1_048_576 }]);
      expect(refusalOf(await core.curl("/node/heartbeat", body))).toEqual({ status: 401, code: "AUTH_INVALID" });
      const failure = await core.agent("connect", key).heartbeat({ ip: body }).catch(ConnectError.from);
      expect(failure).toMatchObject({ code: Code.ResourceExhausted });
    });

    test("unknown fields are ignored", async () => {
      const { key } = await scene.core.enrol("newer");
      expect(await scene.beat(key, { somethingNewer: { a: [1] } })).toMatchObject({ status: 200 });
    });
  });
});
