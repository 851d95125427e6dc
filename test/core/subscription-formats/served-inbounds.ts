import { generateKeyPairSync, randomBytes } from "node:crypto";
import type { JsonObject } from "../../../src/core/domain/fleet/json-object.ts";
import { completeSettings, type ServedProtocol } from "../../../src/core/domain/fleet/protocols/settings.ts";
import { createSelfSignedCertificate } from "../../../src/platform/identity/certificate.ts";
import { createReality } from "../../e2e/protocols.ts";

/** A node protocol of a test: what its settings are, and which programs know it. */
export interface ServedInbound {
  readonly name: string;
  readonly protocol: ServedProtocol;
  readonly settings: JsonObject;
  readonly linkSettings?: JsonObject;
  /** The programs that do not know what it uses. */
  readonly unknownTo?: readonly Program[];
}

/** The programs that documents are written for. */
export type Program = "xray" | "sing-box" | "mihomo";

/** Every protocol, over everything that it travels on, as operators set it up. */
export async function createServedInbounds(): Promise<{ inbounds: ServedInbound[]; close(): Promise<void> }> {
  const reality = await createReality(selfSigned("localhost"));
  const tls = (more: object = {}) => ({ security: "tls", tlsSettings: { certificates: [pair("localhost")], ...more } });
  const overReality = { security: "reality", realitySettings: reality.server };
  const given: ServedInbound[] = [
    { name: "vless", protocol: "vless", settings: {} },
    {
      name: "vless, vision over TLS",
      protocol: "vless",
      settings: {
        settings: { flow: vision },
        streamSettings: { network: "raw", ...tls({ alpn: ["h2", "http/1.1"] }) },
      },
      linkSettings: { fingerprint: "firefox" },
    },
    {
      name: "vless, vision over REALITY",
      protocol: "vless",
      settings: { settings: { flow: vision }, streamSettings: { network: "tcp", ...overReality } },
    },
    {
      name: "vless, a certificate of another name",
      protocol: "vless",
      settings: { streamSettings: tls() },
      linkSettings: { sni: "other.example.org", fingerprint: "hellosafari_16_0" },
    },
    {
      name: "vless, WebSocket",
      protocol: "vless",
      settings: over("ws", { path: "/a/b", host: "h.example" }, tls()),
    },
    {
      name: "vless, WebSocket with early data",
      protocol: "vless",
      settings: over("ws", { path: "/early?ed=2048" }, tls()),
      linkSettings: { alpn: ["h2", "http/1.1"] },
    },
    { name: "vless, HTTPUpgrade", protocol: "vless", settings: over("httpupgrade", { path: "/up" }) },
    { name: "vless, gRPC", protocol: "vless", settings: over("grpc", { serviceName: "some.service" }, tls()) },
    {
      name: "vless, gRPC over REALITY, several at a time",
      protocol: "vless",
      settings: over("grpc", { serviceName: "s", multiMode: true }, overReality),
    },
    {
      name: "vless, gRPC by a path",
      protocol: "vless",
      settings: over("grpc", { serviceName: "/a/b|c" }, tls()),
      unknownTo: ["sing-box", "mihomo"],
    },
    {
      name: "vless, XHTTP",
      protocol: "vless",
      settings: over("xhttp", { path: "/x/" }, tls()),
      unknownTo: ["sing-box"],
    },
    {
      name: "vless, XHTTP over REALITY",
      protocol: "vless",
      settings: over("splithttp", { path: "/x", extra: { xPaddingBytes: "100-200", noSSEHeader: true } }, overReality),
      unknownTo: ["sing-box"],
    },
    {
      name: "vless, XHTTP with padding of its own",
      protocol: "vless",
      settings: over(
        "xhttp",
        { path: "/p", xPaddingObfsMode: true, xPaddingKey: "k", xPaddingPlacement: "query" },
        tls(),
      ),
      unknownTo: ["sing-box", "mihomo"],
    },
    {
      name: "vless, XHTTP over HTTP/3",
      protocol: "vless",
      settings: over("xhttp", { path: "/3" }, tls({ alpn: ["h3"] })),
      unknownTo: ["sing-box", "mihomo"],
    },
    {
      name: "vless, mKCP under a mask",
      protocol: "vless",
      settings: {
        streamSettings: {
          network: "mkcp",
          kcpSettings: { mtu: 1200, tti: 20 },
          finalmask: { udp: [{ type: "mkcp-aes128gcm", settings: { password: "under" } }] },
        },
      },
      unknownTo: ["sing-box", "mihomo"],
    },
    { name: "vless, looking like HTTP", protocol: "vless", settings: lookingLikeHttp },
    {
      name: "vless, encrypted by X25519",
      protocol: "vless",
      settings: { settings: { decryption: `mlkem768x25519plus.native.600s.${x25519Key()}` } },
      unknownTo: ["sing-box"],
    },
    {
      name: "vless, encrypted by ML-KEM-768",
      protocol: "vless",
      settings: {
        settings: {
          decryption: `mlkem768x25519plus.random.0s.100-111-1111.${randomBytes(64).toString("base64url")}`,
        },
      },
      unknownTo: ["sing-box"],
    },
    { name: `vmess "it's" <b>&amp; # : \\ 🇩🇪 {a}, [b] | - ? %20 + *`, protocol: "vmess", settings: {} },
    { name: "vmess, WebSocket", protocol: "vmess", settings: over("websocket", { path: "/w" }, tls()) },
    { name: "vmess, gRPC", protocol: "vmess", settings: over("grpc", { serviceName: "v" }, tls()) },
    { name: "vmess, looking like HTTP", protocol: "vmess", settings: lookingLikeHttp },
    { name: "trojan, TLS", protocol: "trojan", settings: { streamSettings: tls({ fingerprint: "chrome" }) } },
    { name: "trojan, bare", protocol: "trojan", settings: {}, unknownTo: ["mihomo"] },
    { name: "trojan, REALITY", protocol: "trojan", settings: { streamSettings: { network: "raw", ...overReality } } },
    { name: "trojan, gRPC", protocol: "trojan", settings: over("grpc", { serviceName: "t" }, tls()) },
    { name: "trojan, WebSocket", protocol: "trojan", settings: over("ws", { path: "/t" }, tls()) },
    ...["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305", "xchacha20-ietf-poly1305"].map(shadowsocks),
    ...["2022-blake3-aes-128-gcm", "2022-blake3-aes-256-gcm"].map(shadowsocks),
    {
      name: "shadowsocks, within TLS",
      protocol: "shadowsocks",
      settings: { settings: { method: "aes-128-gcm" }, streamSettings: tls() },
      unknownTo: ["sing-box", "mihomo"],
    },
    { name: "hysteria2", protocol: "hysteria2", settings: hysteria(tls({ alpn: ["h3"] })) },
    {
      name: "hysteria2, Salamander",
      protocol: "hysteria2",
      settings: hysteria(tls(), {
        finalmask: { udp: [{ type: "salamander", settings: { password: "fire & water" } }] },
      }),
    },
  ];
  const inbounds = given.map(({ settings, ...rest }) => ({
    ...rest,
    settings: completeSettings(rest.protocol, settings, randomBytes),
  }));
  return { inbounds, close: reality.close };
}

const vision = "xtls-rprx-vision";

function over(network: string, settings: object, security: object = {}): JsonObject {
  const member = { splithttp: "splithttpSettings", websocket: "wsSettings" }[network] ?? `${network}Settings`;
  return { streamSettings: { network, [member]: settings, ...security } };
}

const lookingLikeHttp = {
  streamSettings: {
    network: "raw",
    rawSettings: { header: { type: "http", request: { path: ["/look"], headers: { Host: ["like.example"] } } } },
  },
};

function hysteria(tls: object, more: object = {}): JsonObject {
  return { streamSettings: { network: "hysteria", ...tls, hysteriaSettings: { version: 2 }, ...more } };
}

function shadowsocks(method: string): ServedInbound {
  return {
    name: `shadowsocks ${method}`,
    protocol: "shadowsocks",
    settings: { settings: { method, network: "tcp,udp" } },
  };
}

function selfSigned(name: string) {
  return createSelfSignedCertificate({ hostNames: [name], addresses: [], now: new Date() });
}

/** A certificate and its key, as Xray has them in settings. */
function pair(name: string): object {
  const { cert, key } = selfSigned(name);
  return { certificate: cert.trim().split("\n"), key: key.trim().split("\n") };
}

function x25519Key(): string {
  return generateKeyPairSync("x25519").privateKey.export({ format: "jwk" }).d ?? "";
}
