import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { promisify } from "node:util";
import type { User } from "../../gen/service/node_pb.ts";
import { shadowsocks2022Key } from "../../src/node/engines/xray/accounts.ts";
import { type ProxyProtocol, userOf } from "../support/proxy-protocols.ts";
import { xrayPath } from "../xray-path.ts";

/** A user with random credentials for all protocols, Hysteria's too. */
export function userOfAll(email: string, ...inbounds: string[]): User {
  const user = userOf(email, ...inbounds);
  if (user.proxies?.hysteria !== undefined) user.proxies.hysteria.auth = crypto.randomUUID();
  return user;
}

const method = "2022-blake3-aes-128-gcm";
const serverKey = "AAECAwQFBgcICQoLDA0ODw==";

/** Shadowsocks-2022: a client's password is the inbound's key and the user's own. */
export const shadowsocks2022: ProxyProtocol = {
  name: "ss2022",
  inbound: (port) => ({
    tag: "ss2022",
    listen: "127.0.0.1",
    port,
    protocol: "shadowsocks",
    settings: { method, password: serverKey, network: "tcp,udp" },
  }),
  outbound(port, user) {
    const key = shadowsocks2022Key(user.proxies?.shadowsocks?.password ?? "", 16);
    return shadowsocks2022Outbound(port, `${serverKey}:${key}`);
  },
};

/** The same with the inbound's key alone, as a server without users would take it. */
export const shadowsocks2022WithoutUser: ProxyProtocol = {
  ...shadowsocks2022,
  outbound: (port) => shadowsocks2022Outbound(port, serverKey),
};

const shadowsocks2022Outbound = (port: number, password: string) => ({
  protocol: "shadowsocks",
  settings: { servers: [{ address: "127.0.0.1", port, method, password }] },
});

/** VLESS with the flow that the inbound names, over TLS; users name none. */
export async function createVision(): Promise<ProxyProtocol> {
  const { server, client } = await createTls();
  return {
    name: "vision",
    inbound: (port) => ({
      tag: "vision",
      listen: "127.0.0.1",
      port,
      protocol: "vless",
      settings: { decryption: "none", flow: "xtls-rprx-vision" },
      streamSettings: { network: "tcp", security: "tls", tlsSettings: server },
    }),
    outbound: (port, user) => ({
      protocol: "vless",
      settings: {
        vnext: [
          {
            address: "127.0.0.1",
            port,
            users: [{ id: user.proxies?.vless?.id, encryption: "none", flow: "xtls-rprx-vision" }],
          },
        ],
      },
      streamSettings: { network: "tcp", security: "tls", tlsSettings: client },
    }),
  };
}

/** Hysteria 2. */
export async function createHysteria(): Promise<ProxyProtocol> {
  const { server, client } = await createTls();
  const alpn = ["h3"];
  return {
    name: "hysteria",
    inbound: (port) => ({
      tag: "hysteria",
      listen: "127.0.0.1",
      port,
      protocol: "hysteria",
      settings: { version: 2 },
      streamSettings: {
        network: "hysteria",
        security: "tls",
        tlsSettings: { ...server, alpn },
        hysteriaSettings: { version: 2 },
      },
    }),
    outbound: (port, user) => ({
      protocol: "hysteria",
      settings: { version: 2, address: "127.0.0.1", port },
      streamSettings: {
        network: "hysteria",
        security: "tls",
        tlsSettings: { ...client, alpn },
        hysteriaSettings: { version: 2, auth: user.proxies?.hysteria?.auth },
      },
    }),
  };
}

/** The TLS settings of a server with a new certificate, and of a client that trusts that one alone. */
export async function createTls(): Promise<{ server: object; client: object }> {
  const { stdout } = await promisify(execFile)(await xrayPath(), ["tls", "cert", "--domain=localhost"]);
  const pair = JSON.parse(stdout);
  const fingerprint = new X509Certificate(pair.certificate.join("\n")).fingerprint256.replaceAll(":", "").toLowerCase();
  return {
    server: { certificates: [pair] },
    client: { serverName: "localhost", pinnedPeerCertSha256: fingerprint },
  };
}
