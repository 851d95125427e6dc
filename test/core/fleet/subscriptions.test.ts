import { randomUUID } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { AuditService } from "../../../gen/garrison/core/v1/audit_pb.ts";
import { NodeProtocolService } from "../../../gen/garrison/core/v1/node_protocols_pb.ts";
import { NodeService } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import {
  ResetPeriod,
  SubscriptionOrder,
  SubscriptionService,
  SubscriptionState,
} from "../../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UserService } from "../../../gen/garrison/core/v1/users_pb.ts";
import { VpnProtocol } from "../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { hashSubscriptionToken } from "../../../src/core/domain/fleet/subscription-token.ts";
import { refused } from "./expectations.ts";
import { describeFleet, given } from "./scene.ts";

const subscriptions = SubscriptionService.method;
const served = [
  VpnProtocol.VLESS,
  VpnProtocol.VMESS,
  VpnProtocol.TROJAN,
  VpnProtocol.SHADOWSOCKS,
  VpnProtocol.HYSTERIA2,
  VpnProtocol.MTPROTO,
  VpnProtocol.WIREGUARD,
];
const day = 86_400_000;

describeFleet((scene) => {
  const makeUser = async () =>
    given((await scene.call(UserService.method.createUser, { name: scene.unused("user") })).user).id;
  const make = async (more: object = {}) => {
    const userId = "userId" in more ? (more.userId as bigint) : await makeUser();
    const { subscription, ...rest } = await scene.call(subscriptions.createSubscription, { userId, ...more });
    return { ...rest, subscription: given(subscription) };
  };
  const linksOf = (id: bigint) =>
    scene.fleet.database.db
      .selectFrom("link")
      .selectAll()
      .where("subscription_id", "=", Number(id))
      .orderBy("protocol")
      .execute();
  const rowOf = (id: bigint) =>
    scene.fleet.database.db
      .selectFrom("subscription")
      .selectAll()
      .where("id", "=", Number(id))
      .executeTakeFirstOrThrow();
  const setRow = (id: bigint, columns: object) =>
    scene.fleet.database.db.updateTable("subscription").set(columns).where("id", "=", Number(id)).execute();
  const makeProtocol = async () => {
    const node = given((await scene.call(NodeService.method.createNode, { name: scene.unused("node") })).node);
    const request = { nodeId: node.id, protocol: VpnProtocol.VLESS, port: 443 };
    return given((await scene.call(NodeProtocolService.method.createNodeProtocol, request)).nodeProtocol).id;
  };
  const told = (value: unknown) => JSON.stringify(value, (_, each) => (typeof each === "bigint" ? `${each}` : each));

  test("a subscription has credentials for every protocol, and a link that is shown once", async () => {
    const userId = await makeUser();
    scene.fleet.published.splice(0);
    const { subscription, token, url } = await make({
      userId,
      name: "Basic",
      expiresAt: timestampFromMs(scene.fleet.time + day),
      quotaBytes: 2n ** 60n,
      resetPeriod: ResetPeriod.MONTH,
      deviceLimit: 3,
      failOpen: true,
    });
    expect(subscription).toMatchObject({
      userId,
      enabled: true,
      state: SubscriptionState.ACTIVE,
      quotaBytes: 2n ** 60n,
      deviceLimit: 3,
      failOpen: true,
      allProtocols: true,
      nextResetAt: timestampFromMs(Date.parse("2026-12-01T00:00:00Z")),
    });
    expect(subscription.links).toMatchObject(served.map((protocol) => ({ protocol, enabled: true })));
    expect(url).toBe(`https://core.example.org/sub/${token}`);
    expect(Buffer.from((await rowOf(subscription.id)).token_hash)).toEqual(Buffer.from(hashSubscriptionToken(token)));
    expect(scene.fleet.published).toEqual([
      { scope: { subscriptionIds: [Number(subscription.id)] }, reason: `subscription ${subscription.id} created` },
    ]);
    expect((await scene.call(subscriptions.getSubscription, { id: subscription.id })).subscription).toEqual(
      subscription,
    );
    const everything =
      told([
        await scene.call(subscriptions.getSubscription, { id: subscription.id }),
        await scene.call(subscriptions.listSubscriptions, { userId }),
        await scene.call(AuditService.method.listAuditEntries, {}),
      ]) + scene.fleet.log();
    for (const { uuid, secret } of await linksOf(subscription.id)) {
      expect(everything).not.toContain(uuid);
      expect(everything).not.toContain(secret);
    }
    expect(everything).not.toContain(token);
  });

  test("what a subscription lacks is what was left out", async () => {
    const { subscription } = await make({ protocols: [VpnProtocol.TROJAN, VpnProtocol.VLESS], disabled: true });
    expect(subscription).toMatchObject({
      state: SubscriptionState.DISABLED,
      enabled: false,
      quotaBytes: 0n,
      deviceLimit: 0,
    });
    expect([subscription.expiresAt, subscription.nextResetAt]).toEqual([undefined, undefined]);
    expect(subscription.links.map(({ protocol }) => protocol)).toEqual([VpnProtocol.VLESS, VpnProtocol.TROJAN]);
  });

  test("bad subscriptions are refused, and nothing is created", async () => {
    const userId = await makeUser();
    const create = (more: object) => scene.call(subscriptions.createSubscription, { userId, ...more });
    const invalid = (more: object, name = "INVALID_ARGUMENT") => refused(create(more), Code.InvalidArgument, 400, name);
    await invalid({ userId: 0n });
    await invalid({ name: "x".repeat(129) });
    await invalid({ expiresAt: timestampFromMs(-1000) });
    await invalid({ quotaBytes: -1n });
    await invalid({ deviceLimit: 10_001 });
    await invalid({ nodeProtocolIds: [0n] });
    await invalid({ nodeProtocolIds: [1n, 1n] });
    await invalid({ protocols: [VpnProtocol.UNSPECIFIED] });
    await invalid({ protocols: [VpnProtocol.VLESS, VpnProtocol.VLESS] });
    await invalid({ requestId: "x".repeat(65) });
    await refused(create({ userId: 999_999n }), Code.NotFound, 404, "USER_UNKNOWN");
    await refused(create({ nodeProtocolIds: [999_999n] }), Code.NotFound, 404, "NODE_PROTOCOL_UNKNOWN");
    expect((await scene.call(subscriptions.listSubscriptions, { userId })).subscriptions).toEqual([]);
    expect(scene.fleet.published).toEqual([]);
  });

  test("a creation that is asked for again is not done twice, and its first token is void", async () => {
    const requestId = randomUUID();
    const userId = await makeUser();
    const first = await make({ userId, requestId, quotaBytes: 5n });
    const again = await make({ userId, requestId, quotaBytes: 5n });
    expect(again.subscription.id).toBe(first.subscription.id);
    expect(again.token).not.toBe(first.token);
    expect(Buffer.from((await rowOf(first.subscription.id)).token_hash)).toEqual(
      Buffer.from(hashSubscriptionToken(again.token)),
    );
    await refused(make({ userId, requestId, quotaBytes: 6n }), Code.AlreadyExists, 409, "REQUEST_ID_REUSED");
    expect((await scene.call(subscriptions.listSubscriptions, { userId })).subscriptions).toHaveLength(1);
  });

  test("of creations that are asked for twice at once one is done", async () => {
    const request = { userId: await makeUser(), requestId: randomUUID() };
    const made = await Promise.all([make(request), make(request), make(request)]);
    expect(new Set(made.map(({ subscription }) => subscription.id)).size).toBe(1);
    const valid = (await rowOf(given(made[0]).subscription.id)).token_hash;
    const hashes = made.map(({ token }) => Buffer.from(hashSubscriptionToken(token)));
    expect(hashes.filter((hash) => hash.equals(Buffer.from(valid)))).toHaveLength(1);
  });

  test("an update changes what it names, and lets in or refuses at once", async () => {
    const { subscription } = await make({ quotaBytes: 100n, expiresAt: timestampFromMs(scene.fleet.time + day) });
    const { id } = subscription;
    const update = async (more: object) =>
      given((await scene.call(subscriptions.updateSubscription, { id, ...more })).subscription);
    await setRow(id, { period_bytes: 100n, bytes_up: 60n, bytes_down: 40n, refused: "quota" });
    scene.fleet.published.splice(0);
    expect(await update({ quotaBytes: 101n })).toMatchObject({
      state: SubscriptionState.ACTIVE,
      periodBytes: 100n,
      bytesUp: 60n,
    });
    expect((await rowOf(id)).refused).toBe("");
    expect(await update({ quotaBytes: 99n })).toMatchObject({ state: SubscriptionState.OVER_QUOTA });
    expect((await rowOf(id)).refused).toBe("quota");
    expect(await update({ expiresAt: timestampFromMs(scene.fleet.time) })).toMatchObject({
      state: SubscriptionState.EXPIRED,
    });
    expect((await rowOf(id)).refused).toBe("expired");
    const open = await update({ updateMask: { paths: ["expires_at", "quota_bytes", "name"] } });
    expect(open).toMatchObject({ state: SubscriptionState.ACTIVE, quotaBytes: 0n });
    expect(open.expiresAt).toBeUndefined();
    expect(await update({ failOpen: true })).toMatchObject({ failOpen: true });
    expect(await update({ failOpen: false })).toMatchObject({ failOpen: false });
    expect(await update({ enabled: false, name: "Pro", deviceLimit: 1, resetPeriod: ResetPeriod.DAY })).toMatchObject({
      state: SubscriptionState.DISABLED,
      name: "Pro",
      deviceLimit: 1,
      resetPeriod: ResetPeriod.DAY,
      nextResetAt: timestampFromMs(Date.parse("2026-11-22T00:00:00Z")),
    });
    expect(scene.fleet.published).toHaveLength(7);
    expect(await update({})).toMatchObject({ name: "Pro" });
    expect(scene.fleet.published).toHaveLength(7);
  });

  test("a subscription has the node protocols that are named, or all", async () => {
    const [one, other] = [await makeProtocol(), await makeProtocol()];
    const { subscription } = await make({ nodeProtocolIds: [one] });
    const { id } = subscription;
    expect(subscription).toMatchObject({ allProtocols: false, nodeProtocolIds: [one] });
    const update = async (more: object) =>
      given((await scene.call(subscriptions.updateSubscription, { id, ...more })).subscription);
    await refused(update({ nodeProtocolIds: [other, 999_999n] }), Code.NotFound, 404, "NODE_PROTOCOL_UNKNOWN");
    expect((await scene.call(subscriptions.getSubscription, { id })).subscription).toEqual(subscription);
    expect(await update({ nodeProtocolIds: [other, one] })).toMatchObject({ nodeProtocolIds: [one, other] });
    expect(await update({ allProtocols: true })).toMatchObject({ allProtocols: true, nodeProtocolIds: [] });
    expect(await update({ nodeProtocolIds: [one] })).toMatchObject({ allProtocols: false, nodeProtocolIds: [one] });
    expect(await update({ updateMask: { paths: ["node_protocol_ids"] } })).toMatchObject({
      allProtocols: false,
      nodeProtocolIds: [],
    });
  });

  test("a token is replaced, and credentials stay", async () => {
    const { subscription, token } = await make();
    const links = await linksOf(subscription.id);
    scene.fleet.published.splice(0);
    const rotated = await scene.call(subscriptions.rotateSubscriptionToken, { id: subscription.id });
    expect(rotated.token).not.toBe(token);
    expect(rotated.url).toContain(rotated.token);
    expect(Buffer.from((await rowOf(subscription.id)).token_hash)).toEqual(
      Buffer.from(hashSubscriptionToken(rotated.token)),
    );
    expect(await linksOf(subscription.id)).toEqual(links);
    expect(scene.fleet.published).toEqual([]);
    expect((await scene.actions(`subscription:${subscription.id}`))[0]).toBe("subscription.rotate-token");
    expect(scene.fleet.log()).not.toContain(rotated.token);
  });

  test("credentials are replaced: those that are named, or all, and what is disabled stays so", async () => {
    const { subscription } = await make();
    const { id } = subscription;
    const before = await linksOf(id);
    await scene.call(subscriptions.updateSubscriptionLink, { id, protocol: VpnProtocol.TROJAN, enabled: false });
    await scene.call(subscriptions.rotateSubscriptionLinks, { id, protocols: [VpnProtocol.TROJAN] });
    const one = await linksOf(id);
    for (const [index, link] of one.entries()) {
      if (link.protocol === "trojan") expect(link).toMatchObject({ enabled: 0 });
      expect(link.secret === before[index]?.secret).toBe(link.protocol !== "trojan");
      expect(link.uuid === before[index]?.uuid).toBe(link.protocol !== "trojan");
    }
    await scene.call(subscriptions.rotateSubscriptionLinks, { id });
    const all = await linksOf(id);
    for (const [index, link] of all.entries()) expect(link.secret).not.toBe(one[index]?.secret);
    expect(await scene.actions(`subscription:${id}`)).toEqual([
      "subscription.rotate-links",
      "subscription.rotate-links",
      "subscription.update-link",
      "subscription.create",
    ]);
  });

  test("a protocol is taken from a subscription and given back, and given anew", async () => {
    const { subscription } = await make({ protocols: [VpnProtocol.VLESS] });
    const { id } = subscription;
    const [link] = await linksOf(id);
    const set = async (protocol: VpnProtocol, enabled: boolean) =>
      given((await scene.call(subscriptions.updateSubscriptionLink, { id, protocol, enabled })).subscription).links;
    expect(await set(VpnProtocol.VLESS, false)).toMatchObject([{ protocol: VpnProtocol.VLESS, enabled: false }]);
    expect(await set(VpnProtocol.VLESS, true)).toMatchObject([{ protocol: VpnProtocol.VLESS, enabled: true }]);
    expect(await linksOf(id)).toEqual([link]);
    expect(await set(VpnProtocol.MTPROTO, false)).toHaveLength(1);
    expect(await set(VpnProtocol.MTPROTO, true)).toHaveLength(2);
  });

  test("usage is reset, and who was refused for it is let in", async () => {
    const { subscription } = await make({ quotaBytes: 10n });
    const { id } = subscription;
    await setRow(id, { period_bytes: 10n, bytes_up: 10n, refused: "quota" });
    scene.fleet.time += 1000;
    const reset = given((await scene.call(subscriptions.resetSubscriptionUsage, { id })).subscription);
    expect(reset).toMatchObject({ state: SubscriptionState.ACTIVE, periodBytes: 0n, bytesUp: 10n });
    expect(reset.periodStartedAt).toEqual(timestampFromMs(scene.fleet.time));
    expect((await rowOf(id)).refused).toBe("");
  });

  test("subscriptions are listed by user, state, end and name", async () => {
    const userId = await makeUser();
    const states: [object, SubscriptionState][] = [
      [{}, SubscriptionState.ACTIVE],
      [{ enabled: 0 }, SubscriptionState.DISABLED],
      [{ expires_at: scene.fleet.time }, SubscriptionState.EXPIRED],
      [{ quota_bytes: 5n, period_bytes: 5n }, SubscriptionState.OVER_QUOTA],
      [{ expires_at: scene.fleet.time + 1, quota_bytes: 6n, period_bytes: 5n }, SubscriptionState.ACTIVE],
    ];
    for (const [columns] of states)
      await setRow((await make({ userId })).subscription.id, { ...columns, name: "100%_\\" });
    const list = async (more: object) =>
      (await scene.call(subscriptions.listSubscriptions, { userId, ...more })).subscriptions;
    const all = await list({});
    expect(all.map(({ state }) => state)).toEqual(states.map(([, state]) => state));
    for (const [, state] of states) expect(await list({ state })).toEqual(all.filter((each) => each.state === state));
    expect(await list({ expiresBefore: timestampFromMs(scene.fleet.time + 1) })).toEqual([all[2]]);
    expect(await list({ query: "0%_\\" })).toEqual(all);
    expect(await list({ query: "x_" })).toEqual([]);
    expect(await list({ order: SubscriptionOrder.ID_DESC })).toEqual(all.toReversed());
    expect(await list({ order: SubscriptionOrder.EXPIRES_AT })).toEqual([all[2], all[4]]);
    const paged = [];
    for (let pageToken = "", page = 0; page === 0 || pageToken !== ""; page++) {
      const request = { userId, order: SubscriptionOrder.PERIOD_BYTES_DESC, pageSize: 2, pageToken };
      const answer = await scene.call(subscriptions.listSubscriptions, request);
      paged.push(...answer.subscriptions);
      pageToken = answer.nextPageToken;
    }
    expect(paged.map(({ periodBytes }) => periodBytes)).toEqual([5n, 5n, 0n, 0n, 0n]);
    expect(new Set(paged.map(({ id }) => id)).size).toBe(states.length);
  });

  test("what is not there is told as such by every call", async () => {
    const id = 999_999n;
    const missing = (call: Promise<unknown>) => refused(call, Code.NotFound, 404, "SUBSCRIPTION_UNKNOWN");
    await missing(scene.call(subscriptions.getSubscription, { id }));
    await missing(scene.call(subscriptions.updateSubscription, { id, name: "a" }));
    await missing(scene.call(subscriptions.deleteSubscription, { id }));
    await missing(scene.call(subscriptions.rotateSubscriptionToken, { id }));
    await missing(scene.call(subscriptions.rotateSubscriptionLinks, { id }));
    await missing(scene.call(subscriptions.updateSubscriptionLink, { id, protocol: VpnProtocol.VLESS }));
    await missing(scene.call(subscriptions.resetSubscriptionUsage, { id }));
  });

  test("a subscription is deleted with its credentials", async () => {
    const { subscription } = await make();
    const { id } = subscription;
    scene.fleet.published.splice(0);
    await scene.call(subscriptions.deleteSubscription, { id });
    expect(await linksOf(id)).toEqual([]);
    expect(scene.fleet.published).toEqual([
      { scope: { subscriptionIds: [Number(id)] }, reason: `subscription ${id} deleted` },
    ]);
    expect((await scene.actions(`subscription:${id}`))[0]).toBe("subscription.delete");
  });
});
