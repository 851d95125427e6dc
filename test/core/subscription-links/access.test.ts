import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { NodeProtocolService } from "../../../gen/garrison/core/v1/node_protocols_pb.ts";
import { NodeService } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionLinkService } from "../../../gen/garrison/core/v1/subscription_links_pb.ts";
import { SubscriptionService } from "../../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UserService } from "../../../gen/garrison/core/v1/users_pb.ts";
import { VpnProtocol } from "../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { serveCore } from "../core-under-test.ts";
import { given } from "../fleet/scene.ts";
import { describeScene } from "../scene.ts";
import { type MadeSubscription, openSubscriptionScene } from "../subscription-scene.ts";
import { browser, shown } from "./answers.ts";

const subscriptions = SubscriptionService.method;

describeScene("subscription links", openSubscriptionScene, (scene) => {
  test("hold what the subscription has now: no disabled node, protocol or link, no node that was not given to it", async () => {
    const { call } = scene;
    const made = await scene.subscribe();
    const before = (await scene.linksOf(made)).length;
    const node = { name: "other", host: "2001:db8::7" };
    const nodeId = given((await call(NodeService.method.createNode, node)).node).id;
    const request = { nodeId, protocol: VpnProtocol.VLESS, port: 443, remark: "Other" };
    const protocol = given((await call(NodeProtocolService.method.createNodeProtocol, request)).nodeProtocol);
    const other = /^vless:\/\/[\w-]+@\[2001:db8::7\]:443\?.*#Other$/;
    expect((await scene.linksOf(made)).at(-1)).toMatch(other);
    expect(await scene.linksOf(made)).toHaveLength(before + 1);

    await call(NodeProtocolService.method.updateNodeProtocol, { id: protocol.id, enabled: false });
    expect(await scene.linksOf(made)).toHaveLength(before);
    await call(NodeProtocolService.method.updateNodeProtocol, { id: protocol.id, enabled: true });
    await call(NodeService.method.updateNode, { id: nodeId, enabled: false });
    expect(await scene.linksOf(made)).toHaveLength(before);
    await call(NodeService.method.updateNode, { id: nodeId, enabled: true });

    scene.clock.now += 1_000;
    await call(NodeService.method.updateNode, { id: nodeId, draining: true });
    expect((await scene.linksOf(made)).at(-1)).toMatch(other);
    expect(await scene.linksOf(await scene.subscribe())).toHaveLength(before);
    await call(NodeService.method.updateNode, { id: nodeId, draining: false });

    const chosen = await scene.subscribe({ nodeProtocolIds: [protocol.id] });
    expect(await scene.linksOf(chosen)).toEqual([expect.stringMatching(other)]);
    const vless = { id: chosen.id, protocol: VpnProtocol.VLESS };
    await call(subscriptions.updateSubscriptionLink, { ...vless, enabled: false });
    expect(await scene.linksOf(chosen)).toEqual([]);
    expect(await (await scene.get(`${chosen.path}?format=page`)).text()).toContain("There are none at the moment.");
    await call(NodeService.method.deleteNode, { id: nodeId });
  });

  test("are the same at every replica: credentials and tokens at once, nodes within a second", async () => {
    const second = await serveCore(scene.shared, scene.clock);
    try {
      const made = await scene.subscribe();
      const at = (path: string) => fetch(`${second.url}${path}?format=plain`);
      expect((await (await at(made.path)).text()).split("\n")).toEqual([...(await scene.linksOf(made)), ""]);
      await scene.call(subscriptions.rotateSubscriptionLinks, { id: made.id });
      expect((await (await at(made.path)).text()).split("\n")).toEqual([...(await scene.linksOf(made)), ""]);
      const vless = { nodeId: scene.nodeId, protocol: VpnProtocol.VLESS, port: 443, remark: "Late" };
      const protocol = given((await scene.call(NodeProtocolService.method.createNodeProtocol, vless)).nodeProtocol);
      expect((await scene.linksOf(made)).at(-1)).toMatch(/#Late$/);
      await expect.poll(async () => (await at(made.path)).text(), { timeout: 3_000 }).toMatch(/#Late\n$/);
      await scene.call(NodeProtocolService.method.deleteNodeProtocol, { id: protocol.id });
      expect((await scene.linksOf(made)).at(-1)).not.toMatch(/#Late$/);

      const { token } = await scene.call(subscriptions.rotateSubscriptionToken, { id: made.id });
      expect((await at(made.path)).status).toBe(404);
      expect((await at(`/sub/${token}`)).status).toBe(200);
    } finally {
      await second.close();
    }
  });

  test("who has none is answered alike: unknown, malformed, replaced, disabled, expired, deleted", async () => {
    const made = await Promise.all(Array.from({ length: 5 }, () => scene.subscribe()));
    const [replaced, disabled, ofDisabled, expired, deleted] = made as [MadeSubscription, ...MadeSubscription[]];
    for (const { path } of made) expect((await scene.get(path)).status).toBe(200);
    await scene.call(subscriptions.rotateSubscriptionToken, { id: replaced.id });
    await scene.call(subscriptions.updateSubscription, { id: given(disabled).id, enabled: false });
    await scene.call(UserService.method.updateUser, { id: given(ofDisabled).userId, enabled: false });
    const expiresAt = timestampFromMs(scene.clock.now);
    await scene.call(subscriptions.updateSubscription, { id: given(expired).id, expiresAt });
    await scene.call(subscriptions.deleteSubscription, { id: given(deleted).id });
    const random = Buffer.alloc(24, 7).toString("base64url");
    const odd = ["x", random, "%00", "%F0%9F%9A%80", "'%20or%201=1", "x".repeat(8_000), "a%2Fb", ".."];
    const expected = await shown(await scene.get("/sub/unknown"));
    expect(expected).toMatchObject({ status: 404, text: expect.stringMatching(/^this link leads to no subscription/) });
    for (const headers of [undefined, browser]) {
      for (const path of [...made.map((each) => each.path), ...odd.map((token) => `/sub/${token}`)]) {
        expect(await shown(await scene.get(path.replace("/..", "/%2e%2e."), headers)), path).toEqual(expected);
      }
    }
    scene.clock.now += 3_600_000;
  });

  test("who is over quota still has a subscription, which says so", async () => {
    const made = await scene.subscribe({ quotaBytes: 100n });
    await scene.core.database.db
      .updateTable("subscription")
      .set({ bytes_up: 60n, bytes_down: 60n, period_bytes: 120n })
      .where("id", "=", Number(made.id))
      .execute();
    expect((await scene.get(made.path)).headers.get("subscription-userinfo")).toBe(
      "upload=60; download=60; total=100; expire=0",
    );
    expect(await (await scene.get(made.path, browser)).text()).toContain("The traffic of this period is used up.");
  });

  test("who tries tokens is slowed down, and others at the same address are not", async () => {
    const made = await scene.subscribe();
    let refused: Response | undefined;
    let tries = 0;
    while (refused?.status !== 429 && tries < 200) {
      refused = await scene.get(`/sub/guess-${tries++}`);
      await refused.clone().text();
    }
    expect(tries).toBeGreaterThan(50);
    expect(refused?.status).toBe(429);
    expect(Number(refused?.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(refused?.headers.get("cache-control")).toBe("private, no-store");
    expect((await scene.get(made.path)).status).toBe(200);
    scene.clock.now += Number(refused?.headers.get("retry-after")) * 1_000;
    expect((await scene.get("/sub/guess")).status).toBe(404);
    scene.clock.now += 3_600_000;
  });

  test("a token is in no line of the log, no metric and no answer", async () => {
    const made = await scene.subscribe();
    const wrong = Buffer.alloc(24, 9).toString("base64url");
    const { path, token } = made;
    for (const target of [path, `/sub/${wrong}`, `${path}/more`, `${path}?format=pdf`, `${path}%`, `//sub/${token}`]) {
      for (const method of ["GET", "HEAD", "POST", "DELETE"]) {
        const response = await scene.get(target, {}, method);
        const answer = JSON.stringify([await response.text(), ...response.headers]);
        expect(answer).not.toContain(token);
        expect(answer).not.toContain(wrong);
      }
    }
    const baseUrl = scene.core.url;
    const client = createClient(SubscriptionLinkService, createConnectTransport({ baseUrl, httpVersion: "2" }));
    await client.getSubscriptionDocument({ token });
    await client.getSubscriptionDocument({ token: wrong }).catch((cause) => {
      expect(ConnectError.from(cause).message).not.toContain(wrong);
    });
    const metrics = await (await scene.get("/metrics", { authorization: `Bearer ${scene.key}` })).text();
    expect(metrics).toContain('method="GetSubscriptionDocument",protocol="rest",code="not_found"');
    const log = scene.core.log();
    expect(log).toContain("SubscriptionLinkService/GetSubscriptionDocument");
    for (const text of [metrics, log]) {
      expect(text).not.toContain(token);
      expect(text).not.toContain(wrong);
    }
  });
});
