import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { NodeService, SyncStatus } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { RevisionChangeKind, RevisionOutcome, RevisionService } from "../../../gen/garrison/core/v1/revisions_pb.ts";
import { refused } from "./expectations.ts";
import { describeFleet, given } from "./scene.ts";

const revisions = RevisionService.method;
const [alice, bob] = ["3b0a6a2e-7f0e-4f5e-9d0b-5a4f0c1e2d3b", "8f14e45f-ceea-467f-a8d1-3c5b1f0a9b77"];

/** A config as it is published, with users of an inbound. */
const config = (users: [uuid: string, id: string][], privateKey: string) => ({
  clientMap: Object.fromEntries(users.map(([uuid], index) => [uuid, { userId: index + 1 }])),
  services: {
    xray: {
      inbounds: [
        {
          tag: "vless",
          settings: { clients: users.map(([uuid, id]) => ({ email: `1.${uuid}`, id })) },
          streamSettings: { realitySettings: { privateKey } },
        },
      ],
      outbounds: [{ tag: "direct", protocol: "freedom" }],
    },
  },
});

describeFleet((scene) => {
  const makeNode = async () =>
    given((await scene.call(NodeService.method.createNode, { name: scene.unused("node") })).node).id;
  /** Publishes a config as the publisher does. */
  const publish = async (nodeId: bigint, content: object) => {
    const { db } = scene.fleet.database;
    const text = JSON.stringify(content);
    const digest = `digest of ${scene.unused("config")}`;
    const node = await db
      .updateTable("node")
      .set(({ eb }) => ({ desired_revision: eb("desired_revision", "+", 1), sync_status: "synced" }))
      .where("id", "=", Number(nodeId))
      .returning("desired_revision")
      .executeTakeFirstOrThrow();
    await db.insertInto("config_blob").values({ digest, config: text }).execute();
    const row = { node_id: Number(nodeId), revision: node.desired_revision, digest, created_at: scene.fleet.time };
    await db
      .insertInto("revision")
      .values({ ...row, reason: "test" })
      .execute();
    return digest;
  };

  test("revisions are listed, the newest first, and paged", async () => {
    const nodeId = await makeNode();
    expect((await scene.call(revisions.listRevisions, { nodeId })).revisions).toEqual([]);
    for (const each of [1, 2, 3]) await publish(nodeId, { each });
    await scene.fleet.database.db
      .updateTable("revision")
      .set({ outcome: "failed", outcome_at: scene.fleet.time })
      .where("node_id", "=", Number(nodeId))
      .where("revision", "=", 2)
      .execute();
    const first = await scene.call(revisions.listRevisions, { nodeId, pageSize: 2 });
    expect(first.revisions).toMatchObject([
      { revision: 3n, reason: "test", outcome: RevisionOutcome.UNSPECIFIED },
      { revision: 2n, outcome: RevisionOutcome.FAILED },
    ]);
    const { nextPageToken: pageToken } = first;
    const rest = await scene.call(revisions.listRevisions, { nodeId, pageSize: 2, pageToken });
    expect(rest).toMatchObject({ revisions: [{ revision: 1n }], nextPageToken: "" });
  });

  test("a revision is shown without its secrets", async () => {
    const nodeId = await makeNode();
    await publish(
      nodeId,
      config(
        [
          [alice, alice],
          [bob, "p4ss"],
        ],
        "key",
      ),
    );
    const { config: shown, revision } = await scene.call(revisions.getRevision, { nodeId, revision: 1n });
    expect(revision).toMatchObject({ nodeId, revision: 1n });
    expect(JSON.parse(shown)).toEqual({
      clientMap: { "<secret-1>": { userId: 1 }, "<secret-2>": { userId: 2 } },
      services: {
        xray: {
          inbounds: [
            {
              tag: "vless",
              settings: {
                clients: [
                  { email: "1.<secret-1>", id: "<secret>" },
                  { email: "1.<secret-2>", id: "<secret>" },
                ],
              },
              streamSettings: { realitySettings: { privateKey: "<secret>" } },
            },
          ],
          outbounds: [{ tag: "direct", protocol: "freedom" }],
        },
      },
    });
  });

  test("what differs is told by its place, and that a secret changed, not to what", async () => {
    const nodeId = await makeNode();
    await publish(nodeId, config([[alice, alice]], "old"));
    const changed = config(
      [
        [alice, alice],
        [bob, bob],
      ],
      "new",
    );
    changed.services.xray.outbounds.unshift({ tag: "block", protocol: "blackhole" });
    await publish(nodeId, changed);
    const { changes, base, revision, truncated } = await scene.call(revisions.compareRevisions, {
      nodeId,
      revision: 2n,
    });
    expect([base?.revision, revision?.revision, truncated]).toEqual([1n, 2n, false]);
    expect(changes.map(({ path, kind, before, after }) => [path, kind, before, after])).toEqual([
      ["clientMap/<secret-1>", RevisionChangeKind.ADDED, "", '{"userId":2}'],
      [
        "services/xray/inbounds/vless/settings/clients/1.<secret-1>",
        RevisionChangeKind.ADDED,
        "",
        '{"email":"1.<secret-1>","id":"<secret>"}',
      ],
      [
        "services/xray/inbounds/vless/streamSettings/realitySettings/privateKey",
        RevisionChangeKind.CHANGED,
        '"<secret>"',
        '"<secret>"',
      ],
      ["services/xray/outbounds/block", RevisionChangeKind.ADDED, "", '{"tag":"block","protocol":"blackhole"}'],
    ]);
    const back = await scene.call(revisions.compareRevisions, { nodeId, revision: 1n, base: 2n });
    expect(back.changes[0]).toMatchObject({ kind: RevisionChangeKind.REMOVED, after: "" });
    const same = await scene.call(revisions.compareRevisions, { nodeId, revision: 2n, base: 2n });
    expect(same.changes).toEqual([]);
  });

  test("of very many differences the first are told", async () => {
    const nodeId = await makeNode();
    await publish(nodeId, { list: {} });
    await publish(nodeId, {
      list: Object.fromEntries(Array.from({ length: 1001 }, (_, index) => [`k${index}`, index])),
    });
    const answer = await scene.call(revisions.compareRevisions, { nodeId, revision: 2n });
    expect([answer.changes.length, answer.truncated]).toEqual([1000, true]);
  });

  test("a rollback publishes what an older revision held, under a new number", async () => {
    const nodeId = await makeNode();
    const digest = await publish(nodeId, { good: true });
    await publish(nodeId, { good: false });
    const { revision } = await scene.call(revisions.rollBackNode, { nodeId, revision: 1n, reason: "it broke" });
    expect(revision).toMatchObject({ revision: 3n, digest, reason: "rolled back to revision 1: it broke" });
    const { node } = await scene.call(NodeService.method.getNode, { id: nodeId });
    expect(node).toMatchObject({ desiredRevision: 3n, syncStatus: SyncStatus.PENDING });
    expect(JSON.parse((await scene.call(revisions.getRevision, { nodeId, revision: 3n })).config)).toEqual({
      good: true,
    });
    expect((await scene.actions(`node:${nodeId}`))[0]).toBe("node.roll-back");
    await refused(
      scene.call(revisions.rollBackNode, { nodeId, revision: 3n }),
      Code.FailedPrecondition,
      409,
      "REVISION_CURRENT",
    );
    await refused(scene.call(revisions.rollBackNode, { nodeId, revision: 9n }), Code.NotFound, 404, "REVISION_UNKNOWN");
    const long = { nodeId, revision: 1n, reason: "x".repeat(257) };
    await refused(scene.call(revisions.rollBackNode, long), Code.InvalidArgument, 400, "INVALID_ARGUMENT");
    expect((await scene.call(revisions.listRevisions, { nodeId })).revisions).toHaveLength(3);
  });

  test("rollbacks at one time are published one after another", async () => {
    const nodeId = await makeNode();
    await publish(nodeId, { first: true });
    await publish(nodeId, { first: false });
    const both = [1, 2, 3].map(() => scene.call(revisions.rollBackNode, { nodeId, revision: 1n }));
    const numbers = (await Promise.all(both)).map(({ revision }) => revision?.revision);
    expect(numbers.toSorted()).toEqual([3n, 4n, 5n]);
  });

  test("a node is synced on demand, once there is something to run", async () => {
    const id = await makeNode();
    await refused(scene.call(NodeService.method.syncNode, { id }), Code.FailedPrecondition, 409, "CONFIG_MISSING");
    const digest = await publish(id, { a: 1 });
    const { node } = await scene.call(NodeService.method.syncNode, { id });
    expect(node).toMatchObject({ desiredRevision: 2n, syncStatus: SyncStatus.PENDING });
    const { revision } = await scene.call(revisions.getRevision, { nodeId: id, revision: 2n });
    expect(revision).toMatchObject({ digest, reason: "synced on demand" });
    expect((await scene.actions(`node:${id}`))[0]).toBe("node.sync");
  });

  test("what is not there is told as such by every call", async () => {
    const nodeId = await makeNode();
    await refused(scene.call(revisions.listRevisions, { nodeId: 999_999n }), Code.NotFound, 404, "NODE_UNKNOWN");
    await refused(scene.call(revisions.getRevision, { nodeId, revision: 1n }), Code.NotFound, 404, "REVISION_UNKNOWN");
    await refused(
      scene.call(revisions.compareRevisions, { nodeId, revision: 1n }),
      Code.NotFound,
      404,
      "REVISION_UNKNOWN",
    );
  });
});
