import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AuditService } from "../../../gen/garrison/core/v1/audit_pb.ts";
import { EnrolmentCodeState, NodeService, NodeState, SyncStatus } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { hashOf } from "../../../src/core/domain/hashed-secret.ts";
import { readEnrolmentCode } from "../../../src/platform/identity/enrolment-code.ts";
import { engines } from "../shared-database.ts";
import { refused } from "./expectations.ts";
import { type FleetUnderTest, serveFleetUnderTest } from "./fleet-under-test.ts";
import { type CallRpc, ways } from "./ways.ts";

const nodes = NodeService.method;

describe.each(engines)("on %s", (engine) => {
  let fleet: FleetUnderTest;
  beforeAll(async () => {
    fleet = await serveFleetUnderTest(engine);
  });
  afterAll(() => fleet.close());

  describe.each(ways)("over %s", (way) => {
    let call: CallRpc;
    let actor: string;
    beforeAll(async () => {
      const caller = await fleet.caller(way, "*");
      call = caller.call;
      actor = `operator-key:${caller.id}`;
    });
    beforeEach(() => void fleet.published.splice(0));
    let count = 0;
    const unused = (name: string) => `${name}-${way}-${++count}`;
    const make = async (more: object = {}) => {
      const made = await call(nodes.createNode, { name: unused("node"), ...more });
      const { node, enrolmentCode } = made;
      if (node === undefined || enrolmentCode === undefined) throw new Error("the answer lacks a part");
      return { ...made, node, enrolmentCode };
    };
    const audited = async (target: string) =>
      (await call(AuditService.method.listAuditEntries, { target })).entries.map((entry) => [
        entry.action,
        entry.actor,
      ]);

    test("a node is created with a way out, a code that is shown once, and a note of who did it", async () => {
      const { node, enrolmentCode, code } = await make({
        domain: "de.example.org",
        region: "eu",
        rateLimitBps: 10n ** 10n,
      });
      expect(node).toMatchObject({
        host: "de.example.org",
        ip: "",
        ipPinned: false,
        region: "eu",
        enabled: true,
        rateLimitBps: 10n ** 10n,
        state: NodeState.PENDING,
        syncStatus: SyncStatus.PENDING,
        desiredRevision: 0n,
      });
      expect(enrolmentCode).toMatchObject({ nodeId: node.id, state: EnrolmentCodeState.OPEN });
      const { secret } = readEnrolmentCode(code);
      const row = await fleet.database.db
        .selectFrom("enrolment_code")
        .selectAll()
        .where("id", "=", Number(enrolmentCode.id))
        .executeTakeFirstOrThrow();
      expect(Buffer.from(row.hash)).toEqual(hashOf(secret));
      expect(row.expires_at).toBe(fleet.time + 3_600_000);
      const outbounds = await fleet.database.db
        .selectFrom("node_outbound")
        .selectAll()
        .where("node_id", "=", Number(node.id))
        .execute();
      expect(outbounds).toMatchObject([{ tag: "direct", enabled: 1 }]);
      expect(await audited(`node:${node.id}`)).toEqual([["node.create", actor]]);
      expect(fleet.published).toEqual([{ scope: { nodeIds: [Number(node.id)] }, reason: `node ${node.id} created` }]);
      const everything = JSON.stringify(
        [
          await call(nodes.getNode, { id: node.id }),
          await call(nodes.listNodes, {}),
          await call(nodes.listEnrolmentCodes, {}),
          await call(AuditService.method.listAuditEntries, {}),
        ],
        (_, value) => (typeof value === "bigint" ? `${value}` : value),
      );
      for (const secretText of [code, secret]) {
        expect(everything).not.toContain(secretText);
        expect(fleet.log()).not.toContain(secretText);
      }
    });

    test("names are unique, and a refused creation leaves nothing", async () => {
      const { node } = await make();
      const before = await fleet.database.db.selectFrom("audit").select("id").execute();
      await refused(call(nodes.createNode, { name: node.name }), Code.AlreadyExists, 409, "NAME_TAKEN");
      expect(await fleet.database.db.selectFrom("audit").select("id").execute()).toEqual(before);
      expect(fleet.published).toHaveLength(1);
    });

    test.each([
      ["an empty name", { name: "" }],
      ["a long name", { name: "x".repeat(129) }],
      ["white space around the name", { name: " a" }],
      ["an address that is none", { name: "bad", ip: "256.1.1.1" }],
      ["a domain that is none", { name: "bad", domain: "a b" }],
      ["a long host", { name: "bad", host: "x".repeat(254) }],
      ["a long region", { name: "bad", region: "x".repeat(65) }],
      ["a negative rate", { name: "bad", rateLimitBps: -1n }],
      ["a short life of its code", { name: "bad", codeTtlSeconds: 59 }],
      ["a long life of its code", { name: "bad", codeTtlSeconds: 604_801 }],
    ])("%s is refused, and nothing is created", async (_what, request) => {
      const counted = () =>
        fleet.database.db
          .selectFrom("node")
          .select(({ fn }) => fn.countAll<number>().as("n"))
          .execute();
      const before = await counted();
      await refused(call(nodes.createNode, request), Code.InvalidArgument, 400, "INVALID_ARGUMENT");
      expect(await counted()).toEqual(before);
      expect(fleet.published).toEqual([]);
    });

    test("an update changes what it names, tells who cares, and is noted by its fields", async () => {
      const { node } = await make({ ip: "192.0.2.7" });
      fleet.published.splice(0);
      const { id } = node;
      const changed = await call(nodes.updateNode, { id, region: "us", draining: true, rateLimitBps: 5n });
      expect(changed.node).toMatchObject({
        name: node.name,
        ip: "192.0.2.7",
        ipPinned: true,
        region: "us",
        draining: true,
      });
      expect(fleet.published).toEqual([{ scope: { nodeIds: [Number(id)] }, reason: `node ${id} is draining` }]);
      fleet.published.splice(0);
      const off = await call(nodes.updateNode, { id, enabled: false });
      expect(off.node).toMatchObject({ enabled: false, state: NodeState.DISABLED });
      expect(fleet.published).toEqual([{ scope: { nodeIds: [Number(id)] }, reason: `node ${id} disabled` }]);
      const cleared = await call(nodes.updateNode, {
        id,
        region: "ignored",
        updateMask: { paths: ["ip", "rate_limit_bps"] },
      });
      expect(cleared.node).toMatchObject({ ip: "192.0.2.7", ipPinned: false, region: "us", rateLimitBps: 0n });
      expect((await call(nodes.getNode, { id })).node).toEqual(cleared.node);
      const notes = await audited(`node:${id}`);
      expect(notes.map(([action]) => action)).toEqual(["node.update", "node.update", "node.update", "node.create"]);
    });

    test("an update that changes nothing leaves no note", async () => {
      const { node } = await make();
      await call(nodes.updateNode, { id: node.id, name: node.name });
      await call(nodes.updateNode, { id: node.id });
      expect(await audited(`node:${node.id}`)).toHaveLength(1);
    });

    test("bad updates are refused, and change nothing", async () => {
      const { node } = await make();
      const { node: other } = await make();
      const { id } = node;
      await refused(call(nodes.updateNode, { id, name: other.name }), Code.AlreadyExists, 409, "NAME_TAKEN");
      await refused(call(nodes.updateNode, { id, name: "" }), Code.InvalidArgument, 400, "INVALID_ARGUMENT");
      await refused(call(nodes.updateNode, { id, ip: "x" }), Code.InvalidArgument, 400, "INVALID_ARGUMENT");
      await refused(call(nodes.updateNode, { id, host: "https://a" }), Code.InvalidArgument, 400, "FIELD_INVALID");
      for (const paths of [["name"], ["id"], ["created_at"], ["*"]]) {
        await refused(
          call(nodes.updateNode, { id, updateMask: { paths } }),
          Code.InvalidArgument,
          400,
          "FIELD_INVALID",
        );
      }
      expect((await call(nodes.getNode, { id })).node).toEqual(node);
    });

    test("what is not there is told as such by every call", async () => {
      for (const id of [999_999n, 2n ** 63n - 1n]) {
        await refused(call(nodes.getNode, { id }), Code.NotFound, 404, "NODE_UNKNOWN");
        await refused(call(nodes.deleteNode, { id }), Code.NotFound, 404, "NODE_UNKNOWN");
        await refused(call(nodes.syncNode, { id }), Code.NotFound, 404, "NODE_UNKNOWN");
        await refused(call(nodes.rotateNodeKey, { id }), Code.NotFound, 404, "NODE_UNKNOWN");
        await refused(call(nodes.revokeNodeKeys, { id }), Code.NotFound, 404, "NODE_UNKNOWN");
        await refused(call(nodes.updateNode, { id, region: "a" }), Code.NotFound, 404, "NODE_UNKNOWN");
        await refused(call(nodes.createEnrolmentCode, { nodeId: id }), Code.NotFound, 404, "NODE_UNKNOWN");
        await refused(call(nodes.revokeEnrolmentCode, { id }), Code.NotFound, 404, "ENROLMENT_CODE_UNKNOWN");
      }
      for (const id of [0n, -1n])
        await refused(call(nodes.getNode, { id }), Code.InvalidArgument, 400, "INVALID_ARGUMENT");
    });

    test("a node is listed by its state, sync status, region and name", async () => {
      const region = unused("region");
      const states = [
        ["pending", {}, NodeState.PENDING],
        ["online", { enrolled_at: 1, last_seen_at: fleet.time - 45_000 }, NodeState.ONLINE],
        ["stale", { enrolled_at: 1, last_seen_at: fleet.time - 45_001 }, NodeState.STALE],
        ["offline", { enrolled_at: 1, last_seen_at: fleet.time - 75_001, in_error: 1 }, NodeState.OFFLINE],
        ["never heard", { enrolled_at: 1 }, NodeState.OFFLINE],
        [
          "error",
          { enrolled_at: 1, last_seen_at: fleet.time, in_error: 1, error_at: 5, error_code: "E" },
          NodeState.ERROR,
        ],
        ["disabled", { enrolled_at: 1, last_seen_at: fleet.time, disabled: 1 }, NodeState.DISABLED],
      ] as const;
      for (const [, columns] of states) {
        const { node } = await make({ region });
        await fleet.database.db
          .updateTable("node")
          .set({ ...columns, sync_status: "failed" })
          .where("id", "=", Number(node.id))
          .execute();
      }
      const all = await call(nodes.listNodes, { region });
      expect(all.nodes.map(({ state }) => state)).toEqual(states.map(([, , state]) => state));
      expect(all.nodes[5]?.lastError).toMatchObject({ code: "E", current: true });
      for (const state of new Set(states.map(([, , each]) => each))) {
        const { nodes: found } = await call(nodes.listNodes, { region, state });
        expect(found.map(({ id }) => id)).toEqual(all.nodes.filter((node) => node.state === state).map(({ id }) => id));
      }
      expect((await call(nodes.listNodes, { region, syncStatus: SyncStatus.SYNCED })).nodes).toEqual([]);
      expect((await call(nodes.listNodes, { region, syncStatus: SyncStatus.FAILED })).nodes).toHaveLength(
        states.length,
      );
      expect((await call(nodes.listNodes, { query: all.nodes[0]?.name.toUpperCase() ?? "" })).nodes).toHaveLength(1);
      expect((await call(nodes.listNodes, { query: "100%_\\" })).nodes).toEqual([]);
    });

    test("what a heartbeat told is shown", async () => {
      const { node } = await make();
      const observed = JSON.stringify({
        engines: [{ kind: "ENGINE_KIND_XRAY", version: "26.3.27" }],
        onlineUsers: "7",
        ip: "x",
      });
      await fleet.database.db.updateTable("node").set({ observed }).where("id", "=", Number(node.id)).execute();
      const { node: shown } = await call(nodes.getNode, { id: node.id });
      expect(shown?.observed).toMatchObject({ engines: [{ version: "26.3.27" }], onlineUsers: 7n });
    });

    test("a node that was heard of is deleted only by force, with all that is its own", async () => {
      const { node } = await make();
      const { id } = node;
      const at = { last_seen_at: fleet.time - 299_000 };
      await fleet.database.db.updateTable("node").set(at).where("id", "=", Number(id)).execute();
      await refused(call(nodes.deleteNode, { id }), Code.FailedPrecondition, 409, "NODE_IN_USE");
      await call(nodes.deleteNode, { id, force: true });
      await refused(call(nodes.getNode, { id }), Code.NotFound, 404, "NODE_UNKNOWN");
      expect(
        await fleet.database.db.selectFrom("node_outbound").selectAll().where("node_id", "=", Number(id)).execute(),
      ).toEqual([]);
      expect((await audited(`node:${id}`))[0]?.[0]).toBe("node.delete");
      const { node: quiet } = await make();
      await call(nodes.deleteNode, { id: quiet.id });
    });

    test("a node's key is asked to be replaced, and all are revoked", async () => {
      const { node } = await make();
      const { id } = node;
      expect((await call(nodes.rotateNodeKey, { id })).node?.keyRotationPending).toBe(true);
      const key = { node_id: Number(id), hash: hashOf(`key ${engine} ${way}`), created_at: 1 };
      await fleet.database.db.insertInto("node_key").values(key).execute();
      await call(nodes.revokeNodeKeys, { id });
      const kept = await fleet.database.db
        .selectFrom("node_key")
        .select("revoked_at")
        .where("node_id", "=", Number(id))
        .execute();
      expect(kept).toEqual([{ revoked_at: fleet.time }]);
      const notes = await audited(`node:${id}`);
      expect(notes.map(([action]) => action)).toEqual(["node.revoke-keys", "node.request-key-rotation", "node.create"]);
    });

    test("codes are made for a node or a new one, told how far they are, and revoked while unused", async () => {
      const { node, enrolmentCode: first } = await make();
      const second = await call(nodes.createEnrolmentCode, { nodeId: node.id, ttlSeconds: 60 });
      const open = await call(nodes.createEnrolmentCode, { region: "eu" });
      expect(open.enrolmentCode).toMatchObject({ nodeId: 0n, region: "eu", state: EnrolmentCodeState.OPEN });
      expect(readEnrolmentCode(open.code).secret).not.toBe(readEnrolmentCode(second.code).secret);
      const listed = async () => (await call(nodes.listEnrolmentCodes, { nodeId: node.id })).enrolmentCodes;
      expect((await listed()).map(({ id }) => id)).toEqual([second.enrolmentCode?.id, first.id]);
      fleet.time += 60_000;
      expect((await listed())[0]?.state).toBe(EnrolmentCodeState.EXPIRED);
      const revoked = await call(nodes.revokeEnrolmentCode, { id: first.id });
      expect(revoked.enrolmentCode?.state).toBe(EnrolmentCodeState.REVOKED);
      expect(await call(nodes.revokeEnrolmentCode, { id: first.id })).toEqual(revoked);
      const used = open.enrolmentCode?.id ?? 0n;
      const use = { used_at: fleet.time, used_by_node_id: Number(node.id) };
      await fleet.database.db.updateTable("enrolment_code").set(use).where("id", "=", Number(used)).execute();
      await refused(call(nodes.revokeEnrolmentCode, { id: used }), Code.FailedPrecondition, 409, "ENROLMENT_CODE_USED");
    });
  });
});
