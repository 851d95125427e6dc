import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { readConfig } from "../../src/core/domain/content/config-message.ts";
import { renderConfig } from "../../src/core/domain/render/render.ts";
import type { LinkRow, NodeRows } from "../../src/core/domain/render/rows.ts";
import { createSelfSignedCertificate } from "../../src/platform/identity/certificate.ts";
import { xrayPath } from "../xray-path.ts";

const noPace = () => undefined;
const run = promisify(execFile);

test("the real Xray accepts what is rendered for users of all protocols, and without users", async () => {
  const { cert, key } = createSelfSignedCertificate({ hostNames: ["localhost"], addresses: [], now: new Date() });
  const [certificate, keyLines] = [cert, key].map((pem) => pem.trim().split("\n"));
  const tlsSettings = { certificates: [{ certificate, key: keyLines }] };
  const tls = { streamSettings: { network: "tcp", security: "tls", tlsSettings } };
  const ss2022 = (method: string, bytes: number) => ({
    settings: { method, password: Buffer.alloc(bytes, 7).toString("base64"), network: "tcp,udp" },
  });
  const settings: [protocol: string, settings: object][] = [
    ["vless", {}],
    ["vless", { settings: { flow: "xtls-rprx-vision" }, ...tls }],
    ["vmess", { streamSettings: { network: "ws", wsSettings: { path: "/ws" } } }],
    ["trojan", tls],
    ["shadowsocks", { settings: { method: "aes-256-gcm", network: "tcp,udp" } }],
    ["shadowsocks", { settings: { method: "chacha20-ietf-poly1305" } }],
    ["shadowsocks", ss2022("2022-blake3-aes-128-gcm", 16)],
    ["shadowsocks", ss2022("2022-blake3-aes-256-gcm", 32)],
    [
      "hysteria2",
      {
        streamSettings: { network: "hysteria", security: "tls", tlsSettings, hysteriaSettings: { version: 2 } },
      },
    ],
  ];
  const node: NodeRows = {
    nodeId: 1,
    disabled: false,
    drainingSince: null,
    protocolVersion: 1,
    protocols: settings.map(([protocol, one], index) => ({
      id: index + 1,
      protocol,
      tag: `in-${index + 1}`,
      listen: index % 2 === 0 ? "" : "127.0.0.1",
      port: 20_000 + index,
      enabled: true,
      settings: JSON.stringify(one),
    })),
    outbounds: [
      { id: 1, tag: "blocked", position: 2, enabled: true, config: '{"protocol":"blackhole"}' },
      { id: 2, tag: "direct", position: 1, enabled: true, config: '{"protocol":"freedom"}' },
    ],
    routing: '{"rules":[{"type":"field","port":"25","outboundTag":"blocked"}]}',
    extra: '{"dns":{"servers":["localhost"]}}',
  };
  const links = ["vless", "vmess", "trojan", "shadowsocks", "hysteria2"].flatMap((protocol, kind) =>
    [1, 2, 3].map((n): LinkRow => {
      const uuid = `${kind}${n}b0a6a2-7f0e-4f5e-9d0b-5a4f0c1e2d3b`;
      return {
        uuid,
        protocol,
        secret: protocol.startsWith("v") ? uuid : `pass "${n}"`,
        publicKey: "",
        subscriptionId: n,
        userId: n,
        access: undefined,
        expiresAt: null,
        quotaBytes: null,
        deviceLimit: null,
        failOpen: false,
        createdAt: 0,
      };
    }),
  );
  const directory = await mkdtemp(join(tmpdir(), "garrison-render-"));
  try {
    for (const users of [links, []]) {
      const { content } = await renderConfig(node, users, noPace);
      const { services } = await readConfig(content, noPace);
      const { inbounds = "", outbounds = "", routing = "", extra = "" } = services?.xray ?? {};
      const file = join(directory, "config.json");
      const config = `{"inbounds":${inbounds},"outbounds":${outbounds},"routing":${routing},${extra.slice(1)}`;
      await writeFile(file, config);
      const { stdout } = await run(await xrayPath(), ["run", "-test", "-config", file]);
      expect(stdout).toContain("Configuration OK");
      expect(JSON.parse(outbounds)[0].tag).toBe("direct");
      // Shadowsocks without users would be open to whoever knows the key of the inbound.
      expect(JSON.parse(inbounds)).toHaveLength(users === links ? settings.length : settings.length - 4);
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});
