import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { ApplyState, EngineKind, EngineState } from "../../gen/garrison/core/v1/node_status_pb.ts";
import { hashOf } from "../../src/core/domain/hashed-secret.ts";
import { readEnrolmentCode } from "../../src/platform/identity/enrolment-code.ts";
import { type Answer, type CoreUnderTest, rpcWays, serveCore } from "./core-under-test.ts";
import { engines, type SharedDatabase, shareDatabase } from "./shared-database.ts";

/** The status of an answer, and the stable name of what is wrong. */
const refusalOf = ({ status, text }: Answer) => ({ status, code: JSON.parse(text).code });

describe.each(engines)("Core on %s", (engine) => {
  const clock = { now: Date.parse("2026-11-21T12:00:00Z") };
  let shared: SharedDatabase;
  let core: CoreUnderTest;
  let replica: CoreUnderTest;
  beforeAll(async () => {
    shared = await shareDatabase(engine);
    core = await serveCore(shared, clock);
    replica = await serveCore(shared, clock);
  });
  afterAll(async () => {
    await core.close();
    await replica.close();
    await shared.close();
  });

  const nodeRow = (id: number) =>
    core.database.db.selectFrom("node").selectAll().where("id", "=", id).executeTakeFirstOrThrow();
  const register = (code: string, name: string, more: Record<string, unknown> = {}, by = core) =>
    by.curl("/node/register", JSON.stringify({ code, name, ip: "203.0.113.10", ...more }));
  const beat = (key: string, body: Record<string, unknown> = {}, by = core) =>
    by.curl("/node/heartbeat", JSON.stringify(body), `x-node-auth-key: ${key}`);

  describe("a node enrols", () => {
    test.each([
      {
        shape: "with a host",
        name: "fra-1",
        fields: '"host":"fra-1.example.org","ip":"203.0.113.10","region":"eu"',
        kept: { host: "fra-1.example.org", ip: "203.0.113.10", region: "eu", domain: "", port: 0 },
      },
      {
        shape: "with port and domain",
        name: "fra-2",
        fields: '"ip":"2001:db8::7","port":3001,"region":"","domain":"fra-2.example.org"',
        kept: { host: "", ip: "2001:db8::7", region: "", domain: "fra-2.example.org", port: 3001 },
      },
    ])("as the routes are documented, $shape", async ({ name, fields, kept }) => {
      const code = await core.makeCode();
      const { status, text } = await core.curl("/node/register", `{"code":"${code}","name":"${name}",${fields}}`);
      expect(status).toBe(200);
      expect(text).toMatch(/^\{"authKey":"nk_[\w-]{43}","nodeId":\d+\}$/);
      const { authKey, nodeId } = JSON.parse(text);
      expect(await nodeRow(nodeId)).toMatchObject({ name, ...kept, protocol_version: 0, enrolled_at: clock.now });
      const { status: taken, text: answer } = await beat(authKey);
      expect(taken).toBe(200);
      expect(answer).toMatch(/^\{"ok":true,"needSync":(true|false)\}$/);
    });

    test.each(rpcWays)("over %s, and is told more when it says that it understands it", async (way) => {
      const { secret } = readEnrolmentCode(await core.makeCode());
      const answer = await core.agent(way).register({
        code: secret,
        name: `rpc-${way}`,
        ip: "203.0.113.11",
        installId: "install-1",
        agentVersion: "0.3.0",
        protocolVersion: 1,
        capabilities: ["xray", "mtproto"],
      });
      expect(answer).toMatchObject({
        authKey: expect.stringMatching(/^nk_/),
        caSha256: "ab".repeat(32),
        intervals: { heartbeatMs: 15_000, usageMs: 60_000, enginePollMs: 10_000, sessionsMs: 30_000 },
        limits: { maxEntries: 5_000, maxEvents: 2_000, maxBytes: 1_048_576 },
        serverTimeMs: BigInt(clock.now),
      });
      expect(await nodeRow(Number(answer.nodeId))).toMatchObject({
        install_id: "install-1",
        agent_version: "0.3.0",
        protocol_version: 1,
        capabilities: '["xray","mtproto"]',
      });
    });

    test("codes that are unknown, expired, revoked or used are answered alike", async () => {
      const used = await core.makeCode();
      expect((await register(used, "used-1")).status).toBe(200);
      const expired = await core.makeCode({ validForMs: 0 });
      const revoked = await core.makeCode({ revoked: true });
      const unknown = readEnrolmentCode(used).secret.replace(/^../, "zz");
      const answers: Answer[] = [];
      for (const code of [used, expired, revoked, unknown, "ABCD-1234"]) answers.push(await register(code, "late"));
      const told = answers.map(({ status, text }) => ({ status, text: text.replace(/"request_id":"[^"]*"/, "") }));
      expect(new Set(told.map((answer) => JSON.stringify(answer))).size).toBe(1);
      expect(answers.map(refusalOf)[0]).toEqual({ status: 403, code: "CODE_INVALID" });
      expect(await core.database.db.selectFrom("node").select("id").where("name", "=", "late").execute()).toEqual([]);
    });

    test("a code that many use at once, at two replicas, makes one node", async () => {
      const code = await core.makeCode();
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, i) => register(code, `race-${i}`, {}, i % 2 === 0 ? core : replica)),
      );
      expect(answers.map(({ status }) => status).toSorted()).toEqual([200, ...Array(7).fill(403)]);
      const made = await core.database.db.selectFrom("node").select("id").where("name", "like", "race-%").execute();
      expect(made).toHaveLength(1);
    });

    test("a name that is taken is refused, and the code can still be used", async () => {
      await core.enrol("taken");
      const code = await core.makeCode();
      expect(refusalOf(await register(code, "taken"))).toEqual({ status: 409, code: "NAME_TAKEN" });
      expect((await register(code, "free")).status).toBe(200);
    });

    test("a code that was made for a node makes it again: its name stays, its old keys are void", async () => {
      const { nodeId, key } = await core.enrol("known");
      expect((await beat(key)).status).toBe(200);
      const code = await core.makeCode({ nodeId });
      const { text } = await register(code, "another name", { ip: "198.51.100.1", installId: "new" });
      expect(JSON.parse(text)).toMatchObject({ nodeId });
      expect(await nodeRow(nodeId)).toMatchObject({ name: "known", ip: "198.51.100.1", install_id: "new" });
      expect(refusalOf(await beat(key))).toEqual({ status: 401, code: "KEY_REVOKED" });
      expect((await beat(JSON.parse(text).authKey)).status).toBe(200);
    });

    test("a node that is installed anew has nobody online, and one that enrols again has", async () => {
      const node = { name: "anew", ip: "198.51.100.1", installId: "one" };
      const { nodeId } = JSON.parse((await register(await core.makeCode(), "anew", node)).text);
      const session = { node_id: nodeId, account_id: 1, protocol: "vless", since: 0, ip_address: "", session_id: "" };
      await core.database.db.insertInto("online_session").values(session).execute();
      const online = async (installId: string) => {
        await register(await core.makeCode({ nodeId }), "anew", { ...node, installId });
        const of = core.database.db.selectFrom("online_session").select("account_id").where("node_id", "=", nodeId);
        return (await of.execute()).length;
      };
      expect([await online("one"), await online("two")]).toEqual([1, 0]);
    });

    test("an address that an operator has pinned stays", async () => {
      const { nodeId } = await core.enrol("pinned");
      await core.database.db
        .updateTable("node")
        .set({ ip_pinned: 1, ip: "198.51.100.9" })
        .where("id", "=", nodeId)
        .execute();
      await register(await core.makeCode({ nodeId }), "pinned", { ip: "203.0.113.77" });
      expect(await nodeRow(nodeId)).toMatchObject({ ip: "198.51.100.9" });
    });

    test("the key is kept as a hash, and neither it nor the code is logged", async () => {
      const code = await core.makeCode();
      const { authKey, nodeId } = JSON.parse((await register(code, "secret")).text);
      await beat(authKey);
      const keys = await core.database.db.selectFrom("node_key").selectAll().where("node_id", "=", nodeId).execute();
      expect(keys.map(({ hash }) => Buffer.from(hash))).toEqual([hashOf(authKey)]);
      expect(core.log()).toContain("NodeAgentService/Register");
      for (const text of [code, readEnrolmentCode(code).secret, authKey]) expect(core.log()).not.toContain(text);
      const audit = await core.database.db
        .selectFrom("audit")
        .selectAll()
        .where("target", "=", `node:${nodeId}`)
        .execute();
      expect(audit).toMatchObject([{ actor: `node:${nodeId}`, action: "node.register", at: clock.now }]);
    });
  });

  describe("an agent whose answer was lost", () => {
    const ask = async (code: string, name: string, installId?: string) => {
      const answer = await register(code, name, { installId });
      return answer.status === 200 ? JSON.parse(answer.text) : refusalOf(answer);
    };
    const refused = { status: 403, code: "CODE_INVALID" };

    test("asks again and gets another key for the same node; the first one is void", async () => {
      const code = await core.makeCode();
      const first = await ask(code, "lost-1", "install-lost");
      clock.now += 10 * 60_000;
      const second = await ask(code, "lost-1", "install-lost");
      expect(second.nodeId).toBe(first.nodeId);
      expect(refusalOf(await beat(first.authKey))).toEqual({ status: 401, code: "KEY_REVOKED" });
      expect((await beat(second.authKey)).status).toBe(200);
      expect(await ask(code, "lost-1", "install-lost")).toEqual(refused);
    });

    test("is refused when it is another one, does not say who it is, or comes too late", async () => {
      const code = await core.makeCode();
      const first = await ask(code, "lost-2", "install-lost");
      expect(await ask(code, "lost-2", "install-other")).toEqual(refused);
      expect(await ask(code, "lost-2")).toEqual(refused);
      clock.now += 10 * 60_000 + 1;
      expect(await ask(code, "lost-2", "install-lost")).toEqual(refused);
      expect((await beat(first.authKey)).status).toBe(200);
      const anonymous = await core.makeCode();
      await ask(anonymous, "lost-3");
      expect(await ask(anonymous, "lost-3")).toEqual(refused);
    });

    test.each([true, false])("is refused when an operator has revoked its key; which was used: %s", async (used) => {
      const code = await core.makeCode();
      const { nodeId, authKey } = await ask(code, `lost-revoked-${used}`, "install-lost");
      if (used) expect((await beat(authKey)).status).toBe(200);
      const operator = `authorization: Bearer ${await core.operator("nodes:write")}`;
      expect((await core.curl(`/api/v1/nodes/${nodeId}:revokeKeys`, "{}", operator)).status).toBe(200);
      expect(await ask(code, `lost-revoked-${used}`, "install-lost")).toEqual(refused);
      const anew = await ask(await core.makeCode({ nodeId }), `lost-revoked-${used}`, "install-lost");
      expect((await beat(anew.authKey)).status).toBe(200);
    });

    test("many times at once gets one key that is valid", async () => {
      const code = await core.makeCode();
      const answers = await Promise.all(Array.from({ length: 6 }, () => ask(code, "lost-4", "install-lost")));
      const keys: string[] = answers.map(({ authKey }) => authKey);
      const statuses: number[] = [];
      for (const key of keys) statuses.push((await beat(key)).status);
      expect(statuses.toSorted()).toEqual([200, 401, 401, 401, 401, 401]);
    });
  });

  describe("a heartbeat", () => {
    /** Waits for the first config of a node, and takes it for applied. */
    const published = async (nodeId: number) => {
      await vi.waitFor(async () => {
        clock.now += 500; // changes are collected for a while before they are published
        expect((await nodeRow(nodeId)).desired_revision).toBeGreaterThan(0);
      }, 20_000);
      const { desired_revision: revision } = await nodeRow(nodeId);
      const { digest } = await core.database.db
        .selectFrom("revision")
        .select("digest")
        .where("node_id", "=", nodeId)
        .where("revision", "=", revision)
        .executeTakeFirstOrThrow();
      await setStatus(nodeId, "synced");
      return { revision, digest };
    };
    const setStatus = async (nodeId: number, status: string) => {
      await core.database.db.updateTable("node").set({ sync_status: status }).where("id", "=", nodeId).execute();
      clock.now += 5_001; // what is remembered of the node is over
    };

    test("that is written down later does not undo what the node has reported meanwhile", async () => {
      const { nodeId, key } = await core.enrol("beat-late");
      const { revision } = await published(nodeId);
      await setStatus(nodeId, "pending");
      await beat(key, { revision: 0, protocolVersion: 1, applyState: "APPLY_STATE_APPLYING" });
      await core.curl("/node/config/applied", JSON.stringify({ revision }), `x-node-auth-key: ${key}`);
      await vi.waitFor(async () => {
        expect(JSON.parse((await nodeRow(nodeId)).observed).applyState).toBe("APPLY_STATE_APPLYING");
      }, 5_000);
      expect(await nodeRow(nodeId)).toMatchObject({ sync_status: "synced" });
    });

    test("notes the time and the address within a second, and says whether the node is behind", async () => {
      const { nodeId, key } = await core.enrol("beat-1");
      const { revision } = await published(nodeId);
      expect(await beat(key, { ip: "198.51.100.20", revision: revision - 1 })).toMatchObject({
        text: '{"ok":true,"needSync":true}',
      });
      expect(await beat(key)).toMatchObject({ text: '{"ok":true,"needSync":true}' });
      expect(await beat(key, { revision: revision + 1 })).toMatchObject({ text: '{"ok":true,"needSync":true}' });
      expect(await beat(key, { revision })).toMatchObject({ text: '{"ok":true,"needSync":false}' });
      expect(await beat(key, { ip: "198.51.100.21", revision })).toMatchObject({ status: 200 });
      await vi.waitFor(
        async () => expect(await nodeRow(nodeId)).toMatchObject({ last_seen_at: clock.now, ip: "198.51.100.21" }),
        10_000,
      );
      await beat(key, { ip: "not an address", revision });
      clock.now += 1;
      await beat(key, { revision });
      await vi.waitFor(async () => expect(await nodeRow(nodeId)).toMatchObject({ last_seen_at: clock.now }), 10_000);
      expect(await nodeRow(nodeId)).toMatchObject({ ip: "198.51.100.21", sync_status: "synced" });
    });

    test.each(rpcWays)("over %s tells all that it knows, and is told what Core wants", async (way) => {
      const { nodeId, key } = await core.enrol(`beat-${way}`);
      const { revision, digest } = await published(nodeId);
      await core.database.db.updateTable("node").set({ draining: 1, rotate_key: 1 }).where("id", "=", nodeId).execute();
      clock.now += 5_001;
      const answer = await core.agent(way, key).heartbeat({
        revision: BigInt(revision),
        digest: "e".repeat(64),
        applyState: ApplyState.SYNCED,
        agentVersion: "0.3.1",
        protocolVersion: 1,
        capabilities: ["xray"],
        installId: "install-1",
        uptimeSeconds: 60n,
        bootId: "boot-1",
        engines: [{ kind: EngineKind.XRAY, version: "26.3.27", state: EngineState.RUNNING, ports: [443] }],
        host: { cpuPercent: 12.5 },
        onlineUsers: 4n,
        clock: { unixMs: 5n },
        lastError: { code: "DISK_FULL", message: "no space left" },
      });
      expect(answer).toMatchObject({
        ok: true,
        needSync: true,
        desiredRevision: BigInt(revision),
        desiredDigest: digest,
        intervals: { heartbeatMs: 15_000 },
        limits: { maxEntries: 5_000 },
        serverTimeMs: BigInt(clock.now),
        rotateKey: true,
        drain: true,
      });
      await vi.waitFor(async () => expect(await nodeRow(nodeId)).toMatchObject({ agent_version: "0.3.1" }), 10_000);
      const row = await nodeRow(nodeId);
      expect(row).toMatchObject({
        protocol_version: 1,
        capabilities: '["xray"]',
        install_id: "install-1",
        sync_status: "drifted",
        error_code: "DISK_FULL",
        error_message: "no space left",
        in_error: 1,
      });
      expect(JSON.parse(row.observed)).toEqual({
        applyState: "APPLY_STATE_SYNCED",
        engines: [{ kind: "ENGINE_KIND_XRAY", version: "26.3.27", state: "ENGINE_STATE_RUNNING", ports: [443] }],
        host: { cpuPercent: 12.5 },
        onlineUsers: "4",
        clock: { unixMs: "5" },
        uptimeSeconds: "60",
        bootId: "boot-1",
      });
    });

    test.each([
      [ApplyState.APPLYING, "syncing"],
      [ApplyState.ROLLED_BACK, "rolled_back"],
      [ApplyState.FAILED, "failed"],
    ])("with apply state %i makes the sync status %s", async (applyState, status) => {
      const { nodeId, key } = await core.enrol(`state-${status}`);
      const { revision } = await published(nodeId);
      await setStatus(nodeId, "pending");
      await core.agent("grpc", key).heartbeat({ revision: BigInt(revision - 1), applyState, protocolVersion: 1 });
      await vi.waitFor(async () => expect(await nodeRow(nodeId)).toMatchObject({ sync_status: status }), 10_000);
    });

    test("of a copy of the node is refused while the node is there, and operators are told", async () => {
      const { nodeId, key } = await core.enrol("original");
      expect((await beat(key, { installId: "one" })).status).toBe(200);
      const copy = await beat(key, { installId: "two" });
      expect(refusalOf(copy)).toEqual({ status: 409, code: "NODE_COPIED" });
      await vi.waitFor(async () => expect(await nodeRow(nodeId)).toMatchObject({ install_id: "one" }), 10_000);
      clock.now += 60_000;
      expect(refusalOf(await beat(key, { installId: "two" }, replica))).toEqual({ status: 409, code: "NODE_COPIED" });
      expect((await beat(key, { installId: "one" })).status).toBe(200);
      const row = await nodeRow(nodeId);
      expect(row).toMatchObject({ install_id: "one", in_error: 1, error_code: "NODE_COPIED" });
      const audit = await core.database.db
        .selectFrom("audit")
        .selectAll()
        .where("action", "=", "node.notice-copy")
        .execute();
      expect(audit).toMatchObject([{ target: `node:${nodeId}`, details: '{"installId":"two"}' }]);
    });

    test("of an agent that was installed anew is taken once the one before is silent", async () => {
      const { nodeId, key } = await core.enrol("reinstalled");
      await beat(key, { installId: "one" });
      await vi.waitFor(async () => expect(await nodeRow(nodeId)).toMatchObject({ install_id: "one" }), 10_000);
      clock.now += 75_000;
      expect((await beat(key, { installId: "two" })).status).toBe(200);
      expect(refusalOf(await beat(key, { installId: "one" }))).toEqual({ status: 409, code: "NODE_COPIED" });
      await vi.waitFor(async () => expect(await nodeRow(nodeId)).toMatchObject({ install_id: "two" }), 10_000);
    });

    test("of a node that was removed is refused as one with a revoked key", async () => {
      const { nodeId, key } = await core.enrol("removed");
      await beat(key);
      await beat(key); // is remembered from now on
      await core.database.db.deleteFrom("node").where("id", "=", nodeId).execute();
      clock.now += 5_001;
      expect(refusalOf(await beat(key))).toEqual({ status: 401, code: "KEY_REVOKED" });
      clock.now += 30_000;
      expect(refusalOf(await beat(key))).toEqual({ status: 401, code: "AUTH_INVALID" });
    });
  });

  describe("what is documented of the routes", () => {
    test("a node fetches its config, applies it, reports, and fails, as a client that knows nothing else", async () => {
      const { nodeId, key } = await core.enrol("routes");
      const withKey = `x-node-auth-key: ${key}`;
      const config = await vi.waitFor(async () => {
        clock.now += 500;
        const answer = await core.curl("/node/config/latest", undefined, withKey);
        expect(answer.status).toBe(200);
        return JSON.parse(answer.text);
      }, 20_000);
      expect(config).toMatchObject({ revision: 1, clientMap: {}, services: {} });
      const ok = { status: 200, text: '{"ok":true}' };
      expect(await core.curl("/node/config/applied", '{"revision":1}', withKey)).toMatchObject(ok);
      expect(await nodeRow(nodeId)).toMatchObject({ sync_status: "synced", reported_revision: 1 });
      const recordedAt = new Date(clock.now).toISOString();
      const entry = `{"userId":7,"subscriptionId":null,"nodeProtocolId":3,"bytesUp":1,"bytesDown":2,"recordedAt":"${recordedAt}"}`;
      expect(await core.curl("/node/usage", `{"entries":[${entry}]}`, withKey)).toMatchObject(ok);
      const item = '{"tag":"direct","bytesUp":10,"bytesDown":20}';
      expect(await core.curl("/node/outbound-usage", `{"items":[${item}]}`, withKey)).toMatchObject(ok);
      const event = `{"userId":7,"protocol":"vless","eventType":"online","occurredAt":"${recordedAt}","ipAddress":"198.51.100.4"}`;
      expect(await core.curl("/node/session-events", `{"events":[${event}]}`, withKey)).toMatchObject(ok);
      const error = '{"message":"xray exited","code":"ENGINE_CRASHED","details":{"exitCode":23}}';
      expect(await core.curl("/node/error", error, withKey)).toMatchObject(ok);
      expect(await nodeRow(nodeId)).toMatchObject({ in_error: 1, sync_status: "failed", error_code: "ENGINE_CRASHED" });
    });

    test("a batch that is out of order, or changed, is told by its name and changes nothing", async () => {
      const { key } = await core.enrol("batches");
      const send = (seq: number, tag: string) =>
        core.curl(
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
      const { key } = await core.enrol("many");
      const items = Array(5_001).fill('{"tag":"a"}').join(",");
      const answer = await core.curl("/node/outbound-usage", `{"items":[${items}]}`, `x-node-auth-key: ${key}`);
      expect(refusalOf(answer)).toEqual({ status: 413, code: "PAYLOAD_TOO_LARGE" });
      expect(JSON.parse(answer.text).details).toMatchObject([
        { maxEntries: 5_000, maxEvents: 2_000, maxBytes: 1_048_576 },
      ]);
    });

    test("a config that was not published yet is told to be missing", async () => {
      const key = `nk_${"u".repeat(43)}`;
      const { id } = await core.database.db
        .insertInto("node")
        .values({ name: "unpublished", host: "", ip: "192.0.2.1", created_at: clock.now })
        .returning("id")
        .executeTakeFirstOrThrow();
      await core.database.db
        .insertInto("node_key")
        .values({ node_id: id, hash: hashOf(key), created_at: clock.now })
        .execute();
      const failure = await core.agent("connect", key).getConfig({}).catch(ConnectError.from);
      expect(failure).toMatchObject({ code: Code.NotFound });
      expect(failure).toSatisfy((error: ConnectError) => error.metadata.get("garrison-code") === "CONFIG_MISSING");
    });
  });

  describe("a key", () => {
    test.each(rpcWays)("is replaced over %s: both are valid until the new one is used", async (way) => {
      const { nodeId, key } = await core.enrol(`rotate-${way}`);
      const { authKey, oldKeyEndsAtMs } = await core.agent(way, key).rotateKey({});
      expect(oldKeyEndsAtMs).toBe(BigInt(clock.now + 86_400_000));
      expect((await beat(key)).status).toBe(200);
      expect((await beat(authKey, {}, replica)).status).toBe(200);
      await expect(core.agent(way, authKey).heartbeat({})).resolves.toMatchObject({ ok: true });
      if (engine === "postgres")
        await vi.waitFor(async () => expect(refusalOf(await beat(key))).toEqual({ status: 401, code: "KEY_REVOKED" }));
      // Replicas over SQLite are in one process at most, where events reach all; here they are two.
      else clock.now += 30_000;
      expect(refusalOf(await beat(key))).toEqual({ status: 401, code: "KEY_REVOKED" });
      expect(nodeId).toBeGreaterThan(0);
    });

    test("that is wrong, missing or another's opens nothing, over any protocol", async () => {
      const operator = await core.operator("*");
      for (const wrong of ["", "nk_", `nk_${"x".repeat(43)}`, operator]) {
        expect(refusalOf(await beat(wrong))).toEqual({ status: 401, code: "AUTH_INVALID" });
        for (const way of rpcWays) {
          const failure = await core.agent(way, wrong).heartbeat({}).catch(ConnectError.from);
          expect(failure).toMatchObject({ code: Code.Unauthenticated });
        }
      }
    });

    test("is taken as Authorization: Bearer where there is no header of its own", async () => {
      const { key } = await core.enrol("bearer");
      const { status } = await core.curl("/node/heartbeat", "{}", `authorization: Bearer ${key}`);
      expect(status).toBe(200);
      const both = await core.curl(
        "/node/heartbeat",
        "{}",
        `authorization: Bearer ${key}`,
        "x-node-auth-key: nk_wrong",
      );
      expect(refusalOf(both)).toEqual({ status: 401, code: "AUTH_INVALID" });
    });

    test("of a node does not open what operators see, and theirs does", async () => {
      const { key } = await core.enrol("curious");
      const asNode = await core.curl("/openapi.json", undefined, `x-node-auth-key: ${key}`);
      const asOperator = await core.curl("/openapi.json", undefined, `authorization: Bearer ${await core.operator()}`);
      expect(refusalOf(asNode)).toEqual({ status: 401, code: "AUTH_INVALID" });
      expect(asOperator.status).toBe(200);
      expect(refusalOf(await core.curl("/metrics"))).toEqual({ status: 401, code: "AUTH_INVALID" });
      expect(refusalOf(await core.curl("/no/such/path"))).toEqual({ status: 401, code: "AUTH_INVALID" });
      const newer = ["/node/newer", "/garrison.core.v1.NodeAgentService/Newer"];
      for (const path of newer) expect((await core.curl(path, "{}", `x-node-auth-key: ${key}`)).status).toBe(404);
    });

    test("of an operator is no node's", async () => {
      expect(
        refusalOf(await core.curl("/node/heartbeat", "{}", `authorization: Bearer ${await core.operator("*")}`)),
      ).toEqual({
        status: 401,
        code: "AUTH_INVALID",
      });
    });
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
      const { key } = await core.enrol(`bad-${path}-${body.slice(0, 60)}`);
      const { status, text } = await core.curl(path, body, `x-node-auth-key: ${key}`);
      expect(status).toBe(400);
      expect(JSON.parse(text)).toMatchObject({ ok: false, error: expect.stringContaining(named) });
    });

    test("a body of 10 MiB is refused by its size, and before anything by its key", async () => {
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
      const { key } = await core.enrol("newer");
      expect(await beat(key, { somethingNewer: { a: [1] } })).toMatchObject({ status: 200 });
    });
  });

  describe("who guesses", () => {
    test("codes is made to wait, and a valid code passes all the same", async () => {
      clock.now += 3_600_000;
      const statuses: number[] = [];
      let last: Answer | undefined;
      for (let i = 0; i < 12; i += 1) {
        last = await register("AAECAwQFBgcICQoLDA0ODw", "guess");
        statuses.push(last.status);
      }
      expect(statuses).toEqual([...Array(10).fill(403), 429, 429]);
      expect(last && refusalOf(last)).toEqual({ status: 429, code: "RATE_LIMITED" });
      expect(last?.retryAfter).toBe("30");
      expect((await register(await core.makeCode(), "honest")).status).toBe(200);
    });

    test("keys is made to wait, and the right key passes all the same", async () => {
      const { key } = await core.enrol("patient");
      const agent = core.agent("connect", `nk_${"y".repeat(43)}`);
      const codes: unknown[] = [];
      for (let i = 0; i < 102; i += 1) {
        const failure = await agent.heartbeat({}).catch(ConnectError.from);
        codes.push("code" in failure ? failure.code : "passed");
      }
      expect(codes.filter((code) => code === Code.Unauthenticated)).toHaveLength(100);
      expect(codes.slice(100)).toEqual([Code.ResourceExhausted, Code.ResourceExhausted]);
      for (const way of rpcWays) {
        const failure = await core
          .agent(way, `nk_${"y".repeat(43)}`)
          .heartbeat({})
          .catch(ConnectError.from);
        expect([way, failure instanceof ConnectError && failure.metadata.get("retry-after")]).toEqual([way, "1"]);
      }
      expect((await beat(key)).status).toBe(200);
      clock.now += 3_600_000;
    });
  });
});
