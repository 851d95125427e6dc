import { expect, test } from "vitest";
import { NodeProtocolService } from "../../../gen/garrison/core/v1/node_protocols_pb.ts";
import { NodeService } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionService } from "../../../gen/garrison/core/v1/subscriptions_pb.ts";
import { VpnProtocol } from "../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { given } from "../fleet/scene.ts";
import { describeScene } from "../scene.ts";
import { type MadeSubscription, openSubscriptionScene } from "../subscription-scene.ts";

const subscriptions = SubscriptionService.method;

describeScene("WireGuard behind subscription links", openSubscriptionScene, (scene) => {
  test("WireGuard has a config of each of its protocols, with keys and an address that nobody else has", async () => {
    const { call } = scene;
    const [made, other] = [await scene.subscribe(), await scene.subscribe()];
    const configOf = async ({ path }: MadeSubscription, query = "") => {
      const response = await scene.get(`${path}?format=wireguard${query}`);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-disposition")).toBe('attachment; filename="fra-1-wg0.conf"');
      const lines = (await response.text()).split("\n").map((line) => line.split(" = "));
      return Object.fromEntries(lines.filter(([, value]) => value !== undefined));
    };
    const [own, ofOther] = [await configOf(made), await configOf(other)];
    const listed = await call(NodeProtocolService.method.listNodeProtocols, { protocol: VpnProtocol.WIREGUARD });
    const [tunnel] = listed.nodeProtocols;
    const key = expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/);
    expect(own).toEqual({
      PrivateKey: key,
      Address: expect.stringMatching(/^10\.66\.\d+\.\d+\/32, fd[0-9a-f:]+\/128$/),
      DNS: "1.1.1.1, 1.0.0.1, 2606:4700:4700::1111",
      PublicKey: tunnel?.wireguardPublicKey,
      PresharedKey: key,
      AllowedIPs: "0.0.0.0/0, ::/0",
      Endpoint: `fra-1.example.org:${tunnel?.port}`,
      PersistentKeepalive: "25",
    });
    expect(ofOther).toMatchObject({ PublicKey: own.PublicKey, PresharedKey: own.PresharedKey });
    for (const name of ["PrivateKey", "Address"]) expect(ofOther[name]).not.toBe(own[name]);
    expect(await configOf(made)).toEqual(own);
    await call(subscriptions.rotateSubscriptionLinks, { id: made.id, protocols: [VpnProtocol.WIREGUARD] });
    const rotated = await configOf(made);
    expect(rotated).toEqual({ ...own, PrivateKey: key });
    expect(rotated.PrivateKey).not.toBe(own.PrivateKey);

    const node = { name: "tunnels", host: "2001:db8::9" };
    const nodeId = given((await call(NodeService.method.createNode, node)).node).id;
    const settings = JSON.stringify({ addressPools: ["10.9.0.0/24"], dns: [], persistentKeepalive: 0 });
    const request = { nodeId, protocol: VpnProtocol.WIREGUARD, port: 443, remark: 'A\n"b" # 🚀', settings };
    const second = given((await call(NodeProtocolService.method.createNodeProtocol, request)).nodeProtocol);
    const several = await scene.get(`${made.path}?format=wireguard`);
    expect(several.status).toBe(400);
    expect(await several.text()).toContain(
      `there is a WireGuard config for each of ${tunnel?.id} (fra-1 wg0), ${second.id} (A "b" # 🚀): ` +
        `say which, as in ?format=wireguard&nodeProtocolId=${tunnel?.id}`,
    );
    expect(await configOf(made, `&nodeProtocolId=${tunnel?.id}`)).toEqual(rotated);
    const response = await scene.get(`${made.path}?format=wireguard&nodeProtocolId=${second.id}`);
    expect(response.headers.get("content-disposition")).toBe('attachment; filename="A-b.conf"');
    expect(await response.text()).toMatch(
      /^\[Interface\]\nPrivateKey = .{44}\nAddress = 10\.9\.0\.\d+\/32\n\n\[Peer\]\nPublicKey = .{44}\nAllowedIPs = 0\.0\.0\.0\/0, ::\/0\nEndpoint = \[2001:db8::9\]:443\n$/,
    );
    const page = await (await scene.get(`${made.path}?format=page`)).text();
    for (const { id } of [given(tunnel), second]) {
      expect(page).toContain(`href="?format=wireguard&amp;nodeProtocolId=${id}"`);
    }
    const onlySecond = await scene.get(`${made.path}?format=plain&nodeProtocolId=${second.id}`);
    expect(await onlySecond.text()).toMatch(/^wireguard:[^\n]+\n$/);
    await call(NodeService.method.deleteNode, { id: nodeId });
    expect(await configOf(made)).toEqual(rotated);
  });

  test("who has no WireGuard config is told so", async () => {
    const without = await scene.subscribe({ protocols: [VpnProtocol.VLESS] });
    const made = await scene.subscribe();
    for (const target of [`${without.path}?format=wireguard`, `${made.path}?format=wireguard&nodeProtocolId=999999`]) {
      const response = await scene.get(target);
      expect([response.status, await response.text()]).toEqual([
        404,
        expect.stringContaining("no such WireGuard config"),
      ]);
    }
    for (const id of ["x", "-", "1e99"]) {
      expect((await scene.get(`${made.path}?format=wireguard&nodeProtocolId=${id}`)).status).toBe(400);
    }
    expect(await (await scene.get(`${without.path}?format=page`)).text()).not.toContain("wireguard");
  });

  test("who comes when all addresses are given has everything but WireGuard, and has it when there are more", async () => {
    const { call } = scene;
    const node = { name: "small", host: "small.example.org" };
    const nodeId = given((await call(NodeService.method.createNode, node)).node).id;
    const request = { nodeId, protocol: VpnProtocol.VLESS, port: 443 };
    const vless = given((await call(NodeProtocolService.method.createNodeProtocol, request)).nodeProtocol);
    const settings = JSON.stringify({ addressPools: ["10.9.0.0/16"] });
    const wireguard = { nodeId, protocol: VpnProtocol.WIREGUARD, port: 443, settings };
    const tunnel = given((await call(NodeProtocolService.method.createNodeProtocol, wireguard)).nodeProtocol);
    const pool = scene.core.database.db.updateTable("tunnel_pool").where("node_protocol_id", "=", Number(tunnel.id));
    const later = async <T>(ask: () => Promise<T> | T) => {
      scene.clock.now += 500; // configs are rendered a moment after a change
      return ask();
    };
    const protocolNow = async () =>
      (await call(NodeProtocolService.method.getNodeProtocol, { id: tunnel.id })).nodeProtocol;
    await expect.poll(async () => (await later(protocolNow))?.addressesGiven, { timeout: 5_000 }).toBeGreaterThan(0);
    await pool.set({ last_number: 2 }).execute();
    const nodeProtocolIds = [vless.id, tunnel.id];
    const made = await scene.subscribe({ nodeProtocolIds });
    expect(await scene.linksOf(made)).toEqual([expect.stringMatching(/^vless:/)]);
    expect((await scene.get(`${made.path}?format=wireguard`)).status).toBe(404);
    await expect.poll(() => later(scene.core.log), { timeout: 5_000 }).toContain("it needs larger addressPools");
    await pool.set({ last_number: 65_534 }).execute();
    await call(NodeProtocolService.method.updateNodeProtocol, { id: tunnel.id, remark: "Larger" });
    const hasBoth = [expect.stringMatching(/^vless:/), expect.stringMatching(/^wireguard:.*#Larger$/)];
    await expect.poll(() => later(() => scene.linksOf(made)), { timeout: 5_000 }).toEqual(hasBoth);
    await call(NodeService.method.deleteNode, { id: nodeId });
  });
});
