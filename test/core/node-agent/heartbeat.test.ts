import { expect, test, vi } from "vitest";
import { ApplyState, EngineKind, EngineState } from "../../../gen/garrison/core/v1/node_status_pb.ts";
import { rpcWays } from "../core-under-test.ts";
import { describeScene } from "../scene.ts";
import { openNodeAgentScene, refusalOf } from "./scene.ts";

describeScene("a heartbeat", openNodeAgentScene, (scene) => {
  /** Waits for the first config of a node, and takes it for applied. */
  const published = async (nodeId: number) => {
    await vi.waitFor(async () => {
      scene.clock.now += 500; // changes are collected for a while before they are published
      expect((await scene.nodeRow(nodeId)).desired_revision).toBeGreaterThan(0);
    }, 20_000);
    const { desired_revision: revision } = await scene.nodeRow(nodeId);
    const { digest } = await scene.core.database.db
      .selectFrom("revision")
      .select("digest")
      .where("node_id", "=", nodeId)
      .where("revision", "=", revision)
      .executeTakeFirstOrThrow();
    await setStatus(nodeId, "synced");
    return { revision, digest };
  };
  const setStatus = async (nodeId: number, status: string) => {
    await scene.core.database.db.updateTable("node").set({ sync_status: status }).where("id", "=", nodeId).execute();
    scene.clock.now += 5_001; // what is remembered of the node is over
  };

  test("that is written down later does not undo what the node has reported meanwhile", async () => {
    const { nodeId, key } = await scene.core.enrol("beat-late");
    const { revision } = await published(nodeId);
    await setStatus(nodeId, "pending");
    await scene.beat(key, { revision: 0, protocolVersion: 1, applyState: "APPLY_STATE_APPLYING" });
    await scene.core.curl("/node/config/applied", JSON.stringify({ revision }), `x-node-auth-key: ${key}`);
    await vi.waitFor(async () => {
      expect(JSON.parse((await scene.nodeRow(nodeId)).observed).applyState).toBe("APPLY_STATE_APPLYING");
    }, 5_000);
    expect(await scene.nodeRow(nodeId)).toMatchObject({ sync_status: "synced" });
  });

  test("notes the time and the address within a second, and says whether the node is behind", async () => {
    const { nodeId, key } = await scene.core.enrol("beat-1");
    const { revision } = await published(nodeId);
    expect(await scene.beat(key, { ip: "198.51.100.20", revision: revision - 1 })).toMatchObject({
      text: '{"ok":true,"needSync":true}',
    });
    expect(await scene.beat(key)).toMatchObject({ text: '{"ok":true,"needSync":true}' });
    expect(await scene.beat(key, { revision: revision + 1 })).toMatchObject({ text: '{"ok":true,"needSync":true}' });
    expect(await scene.beat(key, { revision })).toMatchObject({ text: '{"ok":true,"needSync":false}' });
    expect(await scene.beat(key, { ip: "198.51.100.21", revision })).toMatchObject({ status: 200 });
    await vi.waitFor(
      async () =>
        expect(await scene.nodeRow(nodeId)).toMatchObject({ last_seen_at: scene.clock.now, ip: "198.51.100.21" }),
      10_000,
    );
    await scene.beat(key, { ip: "not an address", revision });
    scene.clock.now += 1;
    await scene.beat(key, { revision });
    await vi.waitFor(
      async () => expect(await scene.nodeRow(nodeId)).toMatchObject({ last_seen_at: scene.clock.now }),
      10_000,
    );
    expect(await scene.nodeRow(nodeId)).toMatchObject({ ip: "198.51.100.21", sync_status: "synced" });
  });

  test.each(rpcWays)("over %s tells all that it knows, and is told what Core wants", async (way) => {
    const { core } = scene;
    const { nodeId, key } = await core.enrol(`beat-${way}`);
    const { revision, digest } = await published(nodeId);
    await core.database.db.updateTable("node").set({ draining: 1, rotate_key: 1 }).where("id", "=", nodeId).execute();
    scene.clock.now += 5_001;
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
      serverTimeMs: BigInt(scene.clock.now),
      rotateKey: true,
      drain: true,
    });
    await vi.waitFor(async () => expect(await scene.nodeRow(nodeId)).toMatchObject({ agent_version: "0.3.1" }), 10_000);
    const row = await scene.nodeRow(nodeId);
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
    const { nodeId, key } = await scene.core.enrol(`state-${status}`);
    const { revision } = await published(nodeId);
    await setStatus(nodeId, "pending");
    await scene.core.agent("grpc", key).heartbeat({ revision: BigInt(revision - 1), applyState, protocolVersion: 1 });
    await vi.waitFor(async () => expect(await scene.nodeRow(nodeId)).toMatchObject({ sync_status: status }), 10_000);
  });

  test("of a copy of the node is refused while the node is there, and operators are told", async () => {
    const { nodeId, key } = await scene.core.enrol("original");
    expect((await scene.beat(key, { installId: "one" })).status).toBe(200);
    const copy = await scene.beat(key, { installId: "two" });
    expect(refusalOf(copy)).toEqual({ status: 409, code: "NODE_COPIED" });
    await vi.waitFor(async () => expect(await scene.nodeRow(nodeId)).toMatchObject({ install_id: "one" }), 10_000);
    scene.clock.now += 60_000;
    expect(refusalOf(await scene.beat(key, { installId: "two" }, scene.replica))).toEqual({
      status: 409,
      code: "NODE_COPIED",
    });
    expect((await scene.beat(key, { installId: "one" })).status).toBe(200);
    const row = await scene.nodeRow(nodeId);
    expect(row).toMatchObject({ install_id: "one", in_error: 1, error_code: "NODE_COPIED" });
    const audit = await scene.core.database.db
      .selectFrom("audit")
      .selectAll()
      .where("action", "=", "node.notice-copy")
      .execute();
    expect(audit).toMatchObject([{ target: `node:${nodeId}`, details: '{"installId":"two"}' }]);
  });

  test("of an agent that was installed anew is taken once the one before is silent", async () => {
    const { nodeId, key } = await scene.core.enrol("reinstalled");
    await scene.beat(key, { installId: "one" });
    await vi.waitFor(async () => expect(await scene.nodeRow(nodeId)).toMatchObject({ install_id: "one" }), 10_000);
    scene.clock.now += 75_000;
    expect((await scene.beat(key, { installId: "two" })).status).toBe(200);
    expect(refusalOf(await scene.beat(key, { installId: "one" }))).toEqual({ status: 409, code: "NODE_COPIED" });
    await vi.waitFor(async () => expect(await scene.nodeRow(nodeId)).toMatchObject({ install_id: "two" }), 10_000);
  });

  test("of a node that was removed is refused as one with a revoked key", async () => {
    const { nodeId, key } = await scene.core.enrol("removed");
    await scene.beat(key);
    await scene.beat(key); // is remembered from now on
    await scene.core.database.db.deleteFrom("node").where("id", "=", nodeId).execute();
    scene.clock.now += 5_001;
    expect(refusalOf(await scene.beat(key))).toEqual({ status: 401, code: "KEY_REVOKED" });
    scene.clock.now += 30_000;
    expect(refusalOf(await scene.beat(key))).toEqual({ status: 401, code: "AUTH_INVALID" });
  });
});
