import { createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { JsonObject } from "../json-object.ts";
import { realityPublicKey } from "./reality-key.ts";
import { completeSettings, type ServedProtocol, servedProtocols } from "./settings.ts";

const complete = (protocol: ServedProtocol, settings: JsonObject) => completeSettings(protocol, settings, randomBytes);
const tls = { security: "tls", tlsSettings: { certificates: [{ certificateFile: "/c", keyFile: "/k" }] } };
const reality = (more: JsonObject = {}) => ({
  network: "raw",
  security: "reality",
  realitySettings: { target: "example.org:443", serverNames: ["example.org"], ...more },
});

test.each<[ServedProtocol, JsonObject]>([
  ["vless", {}],
  ["vless", { settings: { flow: "xtls-rprx-vision", decryption: "none" }, streamSettings: { network: "raw", ...tls } }],
  [
    "vless",
    { streamSettings: { network: "xhttp", xhttpSettings: { path: "/x" }, ...tls }, sniffing: { enabled: true } },
  ],
  ["vmess", { streamSettings: { network: "ws", wsSettings: { path: "/" } } }],
  ["trojan", { streamSettings: { network: "grpc", grpcSettings: { serviceName: "s" }, ...tls } }],
  ["shadowsocks", { settings: { method: "aes-256-gcm", network: "tcp,udp" } }],
  [
    "hysteria2",
    { streamSettings: { network: "hysteria", security: "tls", tlsSettings: { ...tls.tlsSettings, alpn: ["h3"] } } },
  ],
  [
    "wireguard",
    {
      privateKey: Buffer.alloc(32, 1).toString("base64"),
      preSharedKey: Buffer.alloc(32, 2).toString("base64"),
      addressPools: ["10.8.0.0/24", "fd08::/112"],
      dns: [],
      mtu: 1_280,
      allowedIps: ["10.8.0.0/24"],
      persistentKeepalive: 0,
    },
  ],
])("%s takes %j as it is", (protocol, settings) => expect(complete(protocol, settings)).toEqual(settings));

test.each<[ServedProtocol, JsonObject, string]>([
  ["vless", { port: 1 }, "settings: port: is none of settings, streamSettings, sniffing"],
  ["vless", { settings: [] }, "settings: settings: is no JSON object"],
  ["vless", { settings: { clients: [] } }, "settings: settings.clients: users are added by their subscriptions"],
  ["trojan", { settings: { users: [] } }, "settings: settings.users: "],
  ["vless", { settings: { flow: "xtls-rprx-direct" } }, "settings: settings.flow: is neither empty nor"],
  ["vless", { settings: { flow: "xtls-rprx-vision" } }, "settings: settings.flow: xtls-rprx-vision needs"],
  ["vless", { settings: { decryption: 1 } }, "settings: settings.decryption: is no string"],
  ["vless", { streamSettings: { network: "carrier-pigeon" } }, "settings: streamSettings.network: is none of raw"],
  ["vless", { streamSettings: { wsSettings: [] } }, "settings: streamSettings.wsSettings: is no JSON object"],
  ["vless", { streamSettings: { security: "xtls" } }, "settings: streamSettings.security: is none of"],
  ["vless", { streamSettings: { security: "tls" } }, "settings: streamSettings.tlsSettings.certificates: tls needs"],
  ["vless", { streamSettings: { security: "reality" } }, "settings: streamSettings.realitySettings.target: is missing"],
  ["vless", { streamSettings: reality({ serverNames: [] }) }, "settings: streamSettings.realitySettings.serverNames: "],
  ["vless", { streamSettings: reality({ privateKey: "k" }) }, "settings: streamSettings.realitySettings.privateKey: "],
  ["vless", { streamSettings: reality({ shortIds: ["abc"] }) }, "settings: streamSettings.realitySettings.shortIds: "],
  ["shadowsocks", {}, "settings: settings.method: is none of aes-128-gcm"],
  ["shadowsocks", { settings: { method: "2022-blake3-chacha20-poly1305" } }, "settings: settings.method: is none of"],
  ["shadowsocks", { settings: { method: "aes-128-gcm", network: "sctp" } }, "settings: settings.network: is none of"],
  [
    "shadowsocks",
    { settings: { method: "2022-blake3-aes-128-gcm", password: randomBytes(32).toString("base64") } },
    "settings: settings.password: is not 16 bytes in base64",
  ],
  ["hysteria2", { streamSettings: { network: "raw", ...tls } }, "settings: streamSettings: Hysteria 2 needs"],
  ["mtproto", { streamSettings: {} }, "settings: streamSettings: is none of modes, tlsDomains, settings"],
  ["mtproto", { modes: ["tls"] }, "settings: tlsDomains: the mode tls needs a domain"],
  ["mtproto", { modes: ["obfs"] }, "settings: modes[0]: is none of classic, secure, tls"],
  ["mtproto", { tlsDomains: ["exa mple"] }, "settings: tlsDomains[0]: is no domain name"],
  ["mtproto", { tlsDomains: "example.org" }, "settings: tlsDomains: is no list of strings"],
  ["wireguard", { settings: {} }, "settings: settings: is none of privateKey, preSharedKey, addressPools"],
  ["wireguard", { privateKey: "AAAA" }, "settings: privateKey: is not 32 bytes in base64"],
  ["wireguard", { privateKey: "A".repeat(43) }, "settings: privateKey: is not 32 bytes in base64"],
  ["wireguard", { preSharedKey: 1 }, "settings: preSharedKey: is neither 32 bytes in base64"],
  ["wireguard", { preSharedKey: false }, "settings: preSharedKey: is neither 32 bytes in base64"],
  ["wireguard", { addressPools: [] }, "settings: addressPools: is missing"],
  ["wireguard", { addressPools: "10.8.0.0/24" }, "settings: addressPools: is no list of at most 64 strings"],
  ["wireguard", { addressPools: ["10.8.0.0"] }, "settings: addressPools[0]: is no range"],
  ["wireguard", { addressPools: ["10.8.0.0/24\n"] }, "settings: addressPools[0]: is no range"],
  ["wireguard", { addressPools: ["fd08::%eth0/64"] }, "settings: addressPools[0]: is no range"],
  [
    "wireguard",
    { addressPools: ["10.8.0.1/24"] },
    "settings: addressPools[0]: has bits behind its prefix: write 10.8.0.0/24",
  ],
  [
    "wireguard",
    { addressPools: ["10.8.0.0/31"] },
    "settings: addressPools[0]: has the prefix /31: write one from /8 to /30",
  ],
  ["wireguard", { addressPools: ["fd08::/127"] }, "settings: addressPools[0]: has the prefix /127"],
  ["wireguard", { addressPools: ["fd08::/64", "10.0.0.0/8", "10.8.0.0/24"] }, "settings: addressPools[2]: is one more"],
  ["wireguard", { addressPools: ["224.0.0.0/8"] }, "settings: addressPools[0]: is multicast"],
  ["wireguard", { addressPools: ["fe80::/64"] }, "settings: addressPools[0]: is linkLocal"],
  ["wireguard", { dns: ["dns.example.org"] }, "settings: dns[0]: is no IP address"],
  ["wireguard", { dns: ["1.1.1.1\nPostUp = reboot"] }, "settings: dns[0]: is no IP address"],
  ["wireguard", { mtu: 500 }, "settings: mtu: is no whole number from 1280 to 65535"],
  ["wireguard", { allowedIps: [] }, "settings: allowedIps: is empty"],
  ["wireguard", { allowedIps: ["::/0", "everything"] }, "settings: allowedIps[1]: is no range"],
  ["wireguard", { persistentKeepalive: "25" }, "settings: persistentKeepalive: is no whole number of seconds"],
])("%s refuses %j", (protocol, settings, message) => {
  expect(() => complete(protocol, settings)).toThrow(
    expect.objectContaining({ code: "SETTINGS_INVALID", message: expect.stringContaining(message) }),
  );
});

test("Hysteria 2 is told to speak HTTP/3, without which no client gets in", () => {
  const made = complete("hysteria2", { streamSettings: { network: "hysteria", ...tls } });
  expect(made).toMatchObject({ streamSettings: { tlsSettings: { ...tls.tlsSettings, alpn: ["h3"] } } });
});

test("no message quotes a secret", () => {
  const secret = "hunter2-hunter2";
  for (const protocol of servedProtocols) {
    for (const settings of [
      {
        settings: { password: secret, method: "2022-blake3-aes-128-gcm" },
        streamSettings: reality({ privateKey: secret }),
      },
      { settings: { password: secret, method: "2022-blake3-aes-128-gcm" } },
      { privateKey: secret },
      { preSharedKey: secret },
    ]) {
      try {
        complete(protocol, settings);
      } catch (cause) {
        expect(String(cause)).not.toContain(secret);
      }
    }
  }
});

describe("what is random is made when it is absent:", () => {
  test.each([
    ["2022-blake3-aes-128-gcm", 16],
    ["2022-blake3-aes-256-gcm", 32],
  ])("the server's key of %s", (method, bytes) => {
    const { settings } = complete("shadowsocks", { settings: { method } }) as { settings: { password: string } };
    expect(Buffer.from(settings.password, "base64")).toHaveLength(bytes);
    expect(complete("shadowsocks", { settings })).toEqual({ settings });
  });

  test("the private key and the ranges of WireGuard, and a key of all users where one is asked for", () => {
    const made = complete("wireguard", {});
    expect(made).toEqual({
      privateKey: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/),
      addressPools: ["10.66.0.0/16", expect.stringMatching(/^fd[0-9a-f]{2}(:[0-9a-f]{1,4}){0,2}::\/64$/)],
      dns: ["1.1.1.1", "1.0.0.1", "2606:4700:4700::1111"],
      allowedIps: ["0.0.0.0/0", "::/0"],
      persistentKeepalive: 25,
    });
    expect(complete("wireguard", made)).toEqual(made);
    expect(complete("wireguard", {})).not.toEqual(made);
    const shared = complete("wireguard", { ...made, preSharedKey: true });
    expect(shared.preSharedKey).toMatch(/^[A-Za-z0-9+/]{43}=$/);
    expect(complete("wireguard", { addressPools: ["fd08:0:0::/48"] })).toMatchObject({
      addressPools: ["fd08::/48"],
      dns: ["2606:4700:4700::1111"],
    });
  });

  test("the private key and short id of REALITY, and the public key belongs to it", () => {
    const made = complete("vless", { streamSettings: reality() });
    const { privateKey, shortIds } = (made as { streamSettings: { realitySettings: JsonObject } }).streamSettings
      .realitySettings;
    expect(privateKey).toMatch(/^[\w-]{43}$/);
    expect(shortIds).toEqual([expect.stringMatching(/^[0-9a-f]{16}$/)]);
    expect(complete("vless", made)).toEqual(made);
    expect(realityPublicKey(made)).toMatch(/^[\w-]{43}$/);
  });

  test("the modes of MTProto", () => {
    expect(complete("mtproto", {})).toEqual({ modes: ["secure"] });
    expect(complete("mtproto", { tlsDomains: ["example.org"] })).toMatchObject({ modes: ["tls"] });
    expect(complete("mtproto", { modes: ["classic", "classic"] })).toEqual({ modes: ["classic"] });
  });
});

test("the public key of REALITY is that of X25519", () => {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const { d = "" } = privateKey.export({ format: "jwk" });
  const settings = { streamSettings: reality({ privateKey: d }) };
  expect(realityPublicKey(settings)).toBe(
    createPublicKey(publicKey.export({ format: "pem", type: "spki" })).export({ format: "jwk" }).x,
  );
  expect(realityPublicKey({})).toBe("");
});
