import { describe, expect, test } from "vitest";
import { NodeService } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { hashOf } from "../../../src/core/domain/hashed-secret.ts";
import { readEnrolmentCode } from "../../../src/platform/identity/enrolment-code.ts";
import { type Answer, rpcWays } from "../core-under-test.ts";
import { describeScene } from "../scene.ts";
import { openNodeAgentScene, refusalOf } from "./scene.ts";

describeScene("enrolment", openNodeAgentScene, (scene) => {
  describe("of a node", () => {
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
      const code = await scene.core.makeCode();
      const { status, text } = await scene.core.curl("/node/register", `{"code":"${code}","name":"${name}",${fields}}`);
      expect(status).toBe(200);
      expect(text).toMatch(/^\{"authKey":"nk_[\w-]{43}","nodeId":\d+\}$/);
      const { authKey, nodeId } = JSON.parse(text);
      expect(await scene.nodeRow(nodeId)).toMatchObject({
        name,
        ...kept,
        protocol_version: 0,
        enrolled_at: scene.clock.now,
      });
      const { status: taken, text: answer } = await scene.beat(authKey);
      expect(taken).toBe(200);
      expect(answer).toMatch(/^\{"ok":true,"needSync":(true|false)\}$/);
    });

    test.each(rpcWays)("over %s, and is told more when it says that it understands it", async (way) => {
      const { secret } = readEnrolmentCode(await scene.core.makeCode());
      const answer = await scene.core.agent(way).register({
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
        serverTimeMs: BigInt(scene.clock.now),
      });
      expect(await scene.nodeRow(Number(answer.nodeId))).toMatchObject({
        install_id: "install-1",
        agent_version: "0.3.0",
        protocol_version: 1,
        capabilities: '["xray","mtproto"]',
      });
    });

    test("codes that are unknown, expired, revoked or used are answered alike", async () => {
      const { core } = scene;
      const used = await core.makeCode();
      expect((await scene.register(used, "used-1")).status).toBe(200);
      const expired = await core.makeCode({ validForMs: 0 });
      const revoked = await core.makeCode({ revoked: true });
      const unknown = readEnrolmentCode(used).secret.replace(/^../, "zz");
      const answers: Answer[] = [];
      for (const code of [used, expired, revoked, unknown, "ABCD-1234"])
        answers.push(await scene.register(code, "late"));
      const told = answers.map(({ status, text }) => ({ status, text: text.replace(/"request_id":"[^"]*"/, "") }));
      expect(new Set(told.map((answer) => JSON.stringify(answer))).size).toBe(1);
      expect(answers.map(refusalOf)[0]).toEqual({ status: 403, code: "CODE_INVALID" });
      expect(await core.database.db.selectFrom("node").select("id").where("name", "=", "late").execute()).toEqual([]);
    });

    test("a code that many use at once, at two replicas, makes one node", async () => {
      const code = await scene.core.makeCode();
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, i) =>
          scene.register(code, `race-${i}`, {}, i % 2 === 0 ? scene.core : scene.replica),
        ),
      );
      expect(answers.map(({ status }) => status).toSorted()).toEqual([200, ...Array(7).fill(403)]);
      const made = await scene.core.database.db
        .selectFrom("node")
        .select("id")
        .where("name", "like", "race-%")
        .execute();
      expect(made).toHaveLength(1);
    });

    test("a name that is taken is refused, and the code can still be used", async () => {
      await scene.core.enrol("taken");
      const code = await scene.core.makeCode();
      expect(refusalOf(await scene.register(code, "taken"))).toEqual({ status: 409, code: "NAME_TAKEN" });
      expect((await scene.register(code, "free")).status).toBe(200);
    });

    test("a code that was made for a node makes it again: its name stays, its old keys are void", async () => {
      const { nodeId, key } = await scene.core.enrol("known");
      expect((await scene.beat(key)).status).toBe(200);
      const code = await scene.core.makeCode({ nodeId });
      const { text } = await scene.register(code, "another name", { ip: "198.51.100.1", installId: "new" });
      expect(JSON.parse(text)).toMatchObject({ nodeId });
      expect(await scene.nodeRow(nodeId)).toMatchObject({ name: "known", ip: "198.51.100.1", install_id: "new" });
      expect(refusalOf(await scene.beat(key))).toEqual({ status: 401, code: "KEY_REVOKED" });
      expect((await scene.beat(JSON.parse(text).authKey)).status).toBe(200);
    });

    test("a node that is installed anew has nobody online, and one that enrols again has", async () => {
      const { core } = scene;
      const node = { name: "anew", ip: "198.51.100.1", installId: "one" };
      const { nodeId } = JSON.parse((await scene.register(await core.makeCode(), "anew", node)).text);
      const session = { node_id: nodeId, account_id: 1, protocol: "vless", since: 0, ip_address: "", session_id: "" };
      await core.database.db.insertInto("online_session").values(session).execute();
      const online = async (installId: string) => {
        await scene.register(await core.makeCode({ nodeId }), "anew", { ...node, installId });
        const of = core.database.db.selectFrom("online_session").select("account_id").where("node_id", "=", nodeId);
        return (await of.execute()).length;
      };
      expect([await online("one"), await online("two")]).toEqual([1, 0]);
    });

    test("an address that an operator has pinned stays", async () => {
      const { core } = scene;
      const { nodeId } = await core.enrol("pinned");
      await core.database.db
        .updateTable("node")
        .set({ ip_pinned: 1, ip: "198.51.100.9" })
        .where("id", "=", nodeId)
        .execute();
      await scene.register(await core.makeCode({ nodeId }), "pinned", { ip: "203.0.113.77" });
      expect(await scene.nodeRow(nodeId)).toMatchObject({ ip: "198.51.100.9" });
    });

    test("the key is kept as a hash, and neither it nor the code is logged", async () => {
      const { core } = scene;
      const code = await core.makeCode();
      const { authKey, nodeId } = JSON.parse((await scene.register(code, "secret")).text);
      await scene.beat(authKey);
      const keys = await core.database.db.selectFrom("node_key").selectAll().where("node_id", "=", nodeId).execute();
      expect(keys.map(({ hash }) => Buffer.from(hash))).toEqual([hashOf(authKey)]);
      expect(core.log()).toContain("NodeAgentService/Register");
      for (const text of [code, readEnrolmentCode(code).secret, authKey]) expect(core.log()).not.toContain(text);
      const audit = await core.database.db
        .selectFrom("audit")
        .selectAll()
        .where("target", "=", `node:${nodeId}`)
        .execute();
      expect(audit).toMatchObject([{ actor: `node:${nodeId}`, action: "node.register", at: scene.clock.now }]);
    });
  });

  describe("by an agent whose answer was lost", () => {
    const ask = async (code: string, name: string, installId?: string) => {
      const answer = await scene.register(code, name, { installId });
      return answer.status === 200 ? JSON.parse(answer.text) : refusalOf(answer);
    };
    const refused = { status: 403, code: "CODE_INVALID" };

    test("asks again and gets another key for the same node; the first one is void", async () => {
      const code = await scene.core.makeCode();
      const first = await ask(code, "lost-1", "install-lost");
      scene.clock.now += 10 * 60_000;
      const second = await ask(code, "lost-1", "install-lost");
      expect(second.nodeId).toBe(first.nodeId);
      expect(refusalOf(await scene.beat(first.authKey))).toEqual({ status: 401, code: "KEY_REVOKED" });
      expect((await scene.beat(second.authKey)).status).toBe(200);
      expect(await ask(code, "lost-1", "install-lost")).toEqual(refused);
    });

    test("is refused when it is another one, does not say who it is, or comes too late", async () => {
      const code = await scene.core.makeCode();
      const first = await ask(code, "lost-2", "install-lost");
      expect(await ask(code, "lost-2", "install-other")).toEqual(refused);
      expect(await ask(code, "lost-2")).toEqual(refused);
      scene.clock.now += 10 * 60_000 + 1;
      expect(await ask(code, "lost-2", "install-lost")).toEqual(refused);
      expect((await scene.beat(first.authKey)).status).toBe(200);
      const anonymous = await scene.core.makeCode();
      await ask(anonymous, "lost-3");
      expect(await ask(anonymous, "lost-3")).toEqual(refused);
    });

    test.each([true, false])("is refused when an operator has revoked its key; which was used: %s", async (used) => {
      const code = await scene.core.makeCode();
      const { nodeId, authKey } = await ask(code, `lost-revoked-${used}`, "install-lost");
      if (used) expect((await scene.beat(authKey)).status).toBe(200);
      await scene.call(NodeService.method.revokeNodeKeys, { id: BigInt(nodeId) });
      expect(await ask(code, `lost-revoked-${used}`, "install-lost")).toEqual(refused);
      const anew = await ask(await scene.core.makeCode({ nodeId }), `lost-revoked-${used}`, "install-lost");
      expect((await scene.beat(anew.authKey)).status).toBe(200);
    });

    test("many times at once gets one key that is valid", async () => {
      const code = await scene.core.makeCode();
      const answers = await Promise.all(Array.from({ length: 6 }, () => ask(code, "lost-4", "install-lost")));
      const keys: string[] = answers.map(({ authKey }) => authKey);
      const statuses: number[] = [];
      for (const key of keys) statuses.push((await scene.beat(key)).status);
      expect(statuses.toSorted()).toEqual([200, 401, 401, 401, 401, 401]);
    });
  });

  test("who guesses codes is made to wait, and a valid code passes all the same", async () => {
    scene.clock.now += 3_600_000; // earlier guesses are forgiven
    const statuses: number[] = [];
    let last: Answer | undefined;
    for (let i = 0; i < 12; i += 1) {
      last = await scene.register("AAECAwQFBgcICQoLDA0ODw", "guess");
      statuses.push(last.status);
    }
    expect(statuses).toEqual([...Array(10).fill(403), 429, 429]);
    expect(last && refusalOf(last)).toEqual({ status: 429, code: "RATE_LIMITED" });
    expect(last?.retryAfter).toBe("30");
    expect((await scene.register(await scene.core.makeCode(), "honest")).status).toBe(200);
  });
});
