import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { NodeOutboundService } from "../../../gen/garrison/core/v1/node_outbounds_pb.ts";
import { NodeProtocolService } from "../../../gen/garrison/core/v1/node_protocols_pb.ts";
import { NodeService } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionService } from "../../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UserService } from "../../../gen/garrison/core/v1/users_pb.ts";
import { VpnProtocol } from "../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { readConfig } from "../../../src/core/domain/content/config-message.ts";
import { servedProtocols } from "../../../src/core/domain/fleet/protocols/settings.ts";
import { renderConfig } from "../../../src/core/domain/render/render.ts";
import { createPublicationStore } from "../../../src/core/store/publications.ts";
import { createSelfSignedCertificate } from "../../../src/platform/identity/certificate.ts";
import { xrayPath } from "../../xray-path.ts";
import { type FleetUnderTest, serveFleetUnderTest } from "./fleet-under-test.ts";
import { given } from "./scene.ts";

let fleet: FleetUnderTest;
beforeAll(async () => {
  fleet = await serveFleetUnderTest("sqlite");
});
afterAll(() => fleet.close());

test("the real Xray accepts what operators set up, with the credentials and keys that are made for it", async () => {
  const { call } = await fleet.caller("rest", "*");
  const { cert, key } = createSelfSignedCertificate({ hostNames: ["localhost"], addresses: [], now: new Date() });
  const [certificate, keyLines] = [cert, key].map((pem) => pem.trim().split("\n"));
  const tls = { security: "tls", tlsSettings: { certificates: [{ certificate, key: keyLines }] } };
  const realitySettings = { target: "example.org:443", serverNames: ["example.org"] };
  const reality = { network: "raw", security: "reality", realitySettings };
  const inbounds: [VpnProtocol, object][] = [
    [VpnProtocol.VLESS, { settings: { flow: "xtls-rprx-vision" }, streamSettings: reality }],
    [VpnProtocol.VLESS, { streamSettings: { network: "xhttp", xhttpSettings: { path: "/x" }, ...tls } }],
    [VpnProtocol.VMESS, { streamSettings: { network: "ws", wsSettings: { path: "/" } } }],
    [VpnProtocol.TROJAN, { streamSettings: { network: "grpc", grpcSettings: { serviceName: "s" }, ...tls } }],
    [VpnProtocol.SHADOWSOCKS, { settings: { method: "2022-blake3-aes-128-gcm", network: "tcp,udp" } }],
    [VpnProtocol.SHADOWSOCKS, { settings: { method: "2022-blake3-aes-256-gcm" } }],
    [VpnProtocol.SHADOWSOCKS, { settings: { method: "chacha20-ietf-poly1305" } }],
    [VpnProtocol.HYSTERIA2, { streamSettings: { network: "hysteria", hysteriaSettings: { version: 2 }, ...tls } }],
    [VpnProtocol.MTPROTO, { modes: ["tls"], tlsDomains: ["example.org"] }],
  ];
  const nodeId = given((await call(NodeService.method.createNode, { name: "node" })).node).id;
  for (const [index, [protocol, settings]] of inbounds.entries()) {
    const request = { nodeId, protocol, port: 20_000 + index, settings: JSON.stringify(settings) };
    await call(NodeProtocolService.method.createNodeProtocol, request);
  }
  const block = { nodeId, tag: "block", config: '{"protocol":"blackhole"}' };
  await call(NodeOutboundService.method.createNodeOutbound, block);
  const routing = JSON.stringify({ rules: [{ port: "25", outboundTag: "block", inboundTag: ["vless-20000"] }] });
  await call(NodeOutboundService.method.updateNodeRouting, {
    nodeId,
    routing,
    extra: '{"dns":{"servers":["localhost"]}}',
  });
  const { user } = await call(UserService.method.createUser, { name: "user" });
  await call(SubscriptionService.method.createSubscription, { userId: given(user).id });

  const store = createPublicationStore(fleet.database);
  const rows = given((await store.nodes([Number(nodeId)]))[0]);
  const noPace = () => undefined;
  const { content } = await renderConfig(rows, await store.links(servedProtocols, noPace), noPace);
  const { services } = await readConfig(content, noPace);
  const xray = given(services?.xray);
  const config = `{"inbounds":${xray.inbounds},"outbounds":${xray.outbounds},"routing":${xray.routing},${xray.extra.slice(1)}`;
  expect(JSON.parse(xray.inbounds)).toHaveLength(inbounds.length - 1);
  for (const inbound of JSON.parse(xray.inbounds)) expect(inbound.settings.clients).toHaveLength(1);
  expect(services?.mtproto?.inbounds).toMatchObject([{ users: [{ secret: expect.stringMatching(/^[0-9a-f]{32}$/) }] }]);

  const directory = await mkdtemp(join(tmpdir(), "garrison-fleet-"));
  try {
    const file = join(directory, "config.json");
    await writeFile(file, config);
    const { stdout } = await promisify(execFile)(await xrayPath(), ["run", "-test", "-c", file]);
    expect(stdout).toContain("Configuration OK");
  } finally {
    await rm(directory, { recursive: true });
  }
});
