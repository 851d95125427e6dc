import { create } from "@bufbuild/protobuf";
import { type User, UserSchema } from "../../gen/service/node_pb.ts";

/** A protocol that users connect with: its inbound on a node, and the outbound of a client of that user. */
export interface ProxyProtocol {
  readonly name: string;
  /** The inbound for the node's config, with the protocol's name as its tag. */
  inbound(port: number): object;
  /** The outbound for a client's config, of a user of {@link userOf}. */
  outbound(port: number, user: User): object;
}

const onThisMachine = { listen: "127.0.0.1" };
const at = (port: number) => ({ address: "127.0.0.1", port });
const cipher = "aes-128-gcm";

/** VLESS, VMess, Trojan and Shadowsocks, plain over TCP. */
export const proxyProtocols: readonly ProxyProtocol[] = [
  {
    name: "vless",
    inbound: (port) => ({ ...onThisMachine, tag: "vless", protocol: "vless", port, settings: { decryption: "none" } }),
    outbound: (port, user) => ({
      protocol: "vless",
      settings: { vnext: [{ ...at(port), users: [{ id: user.proxies?.vless?.id, encryption: "none" }] }] },
    }),
  },
  {
    name: "vmess",
    inbound: (port) => ({ ...onThisMachine, tag: "vmess", protocol: "vmess", port, settings: {} }),
    outbound: (port, user) => ({
      protocol: "vmess",
      settings: { vnext: [{ ...at(port), users: [{ id: user.proxies?.vmess?.id, security: "auto" }] }] },
    }),
  },
  {
    name: "trojan",
    inbound: (port) => ({ ...onThisMachine, tag: "trojan", protocol: "trojan", port, settings: {} }),
    outbound: (port, user) => ({
      protocol: "trojan",
      settings: { servers: [{ ...at(port), password: user.proxies?.trojan?.password }] },
    }),
  },
  {
    name: "shadowsocks",
    inbound: (port) => ({ ...onThisMachine, tag: "shadowsocks", protocol: "shadowsocks", port, settings: {} }),
    outbound: (port, user) => ({
      protocol: "shadowsocks",
      settings: { servers: [{ ...at(port), password: user.proxies?.shadowsocks?.password, method: cipher }] },
    }),
  },
];

/** A user with random credentials for all protocols, on these inbounds. */
export function userOf(email: string, ...inbounds: string[]): User {
  return create(UserSchema, {
    email,
    inbounds,
    proxies: {
      vmess: { id: crypto.randomUUID() },
      vless: { id: crypto.randomUUID() },
      trojan: { password: crypto.randomUUID() },
      shadowsocks: { password: crypto.randomUUID(), method: cipher },
      // As clients of the original send them: present and empty.
      wireguard: {},
      hysteria: {},
      masque: {},
    },
  });
}

/** A node's config with one inbound for each protocol, in the order of `ports`. */
export function nodeConfig(ports: readonly number[], protocols = proxyProtocols): string {
  return JSON.stringify({
    log: { loglevel: "info" },
    inbounds: protocols.map((protocol, index) => protocol.inbound(ports[index] ?? 0)),
    // Later versions of Xray refuse targets on this machine without such a rule.
    outbounds: [
      { tag: "direct", protocol: "freedom", settings: { finalRules: [{ action: "allow" }] } },
      { tag: "block", protocol: "blackhole" },
    ],
    policy: { system: { statsInboundUplink: true, statsInboundDownlink: true } },
  });
}
