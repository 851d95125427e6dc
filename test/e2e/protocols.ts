import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:tls";
import type { User } from "../../gen/service/node_pb.ts";
import { createSelfSignedCertificate, type SelfSigned } from "../../src/platform/identity/certificate.ts";
import { userOfAll } from "../engines/more-protocols.ts";

/** A protocol that users connect with, and how two programs that share no code speak it. */
export interface ClientProtocol {
  /** The tag of its inbound. */
  readonly name: string;
  /** The rest of the inbound for the node's config. */
  readonly inbound: object;
  /** What the credentials of a user need besides random ones. */
  readonly prepare?: (user: User) => void;
  /** The outbound of a user for a config of Xray. */
  xray(port: number, user: User): object;
  /** The outbound of a user for a config of sing-box. */
  singBox(port: number, user: User): object;
}

/** All protocols that users can have, and what has to run for them. */
export interface ClientProtocols {
  readonly protocols: readonly ClientProtocol[];
  /** A user with random credentials who is on the inbound of this protocol. */
  userOf(email: string, protocol: ClientProtocol): User;
  close(): Promise<void>;
}

/** Makes all protocols that users can have. */
export async function createClientProtocols(): Promise<ClientProtocols> {
  const certificate = createSelfSignedCertificate({ hostNames: ["localhost"], addresses: [], now: new Date() });
  const tls = tlsWith(certificate);
  const reality = await createReality(certificate);
  return {
    protocols: [
      vless("vless", {}),
      vless("vless with the user's flow over TLS", {
        flowOf: "user",
        ...streams("tls", { tlsSettings: tls.server }, { tlsSettings: tls.client }),
        singBox: { tls: tls.singBox },
      }),
      vless("vless with the inbound's flow over REALITY", {
        flowOf: "inbound",
        ...streams("reality", { realitySettings: reality.server }, { realitySettings: reality.client }),
        singBox: { tls: reality.singBox },
      }),
      vmess,
      trojan(tls),
      shadowsocks("aes-128-gcm"),
      shadowsocks("aes-256-gcm"),
      shadowsocks("chacha20-ietf-poly1305"),
      shadowsocks2022("2022-blake3-aes-128-gcm", 16),
      shadowsocks2022("2022-blake3-aes-256-gcm", 32),
      hysteria2(tls),
    ],
    userOf(email, protocol) {
      const user = userOfAll(email, protocol.name);
      protocol.prepare?.(user);
      return user;
    },
    close: reality.close,
  };
}

type Tls = ReturnType<typeof tlsWith>;

/** The TLS settings of a server with this certificate, and of both clients that trust it alone. */
function tlsWith({ cert, key, fingerprint }: SelfSigned) {
  const [certificate, keyLines] = [cert, key].map((pem) => pem.trim().split("\n"));
  return {
    server: { certificates: [{ certificate, key: keyLines }] },
    client: { serverName: "localhost", pinnedPeerCertSha256: fingerprint.replaceAll(":", "").toLowerCase() },
    singBox: { enabled: true, server_name: "localhost", certificate },
  };
}

const flow = "xtls-rprx-vision";
const xrayServer = (port: number) => ({ address: "127.0.0.1", port });
const singBoxServer = (port: number) => ({ server: "127.0.0.1", server_port: port });

/** How both ends of Xray carry a protocol. */
function streams(security: string, server: object, client: object, network = "tcp") {
  return {
    server: { streamSettings: { network, security, ...server } },
    client: { streamSettings: { network, security, ...client } },
  };
}

interface VlessOptions {
  /** Whose settings name the flow; a client always names its own. */
  flowOf?: "user" | "inbound";
  server?: object;
  client?: object;
  singBox?: object;
}

function vless(name: string, { flowOf, server, client, singBox }: VlessOptions): ClientProtocol {
  const ofClient = flowOf === undefined ? {} : { flow };
  return {
    name,
    inbound: {
      protocol: "vless",
      settings: { decryption: "none", ...(flowOf === "inbound" ? { flow } : {}) },
      ...server,
    },
    prepare(user) {
      if (flowOf === "user" && user.proxies?.vless) user.proxies.vless.flow = flow;
    },
    xray: (port, user) => ({
      protocol: "vless",
      settings: {
        vnext: [{ ...xrayServer(port), users: [{ id: user.proxies?.vless?.id, encryption: "none", ...ofClient }] }],
      },
      ...client,
    }),
    singBox: (port, user) => ({
      type: "vless",
      ...singBoxServer(port),
      uuid: user.proxies?.vless?.id,
      ...ofClient,
      ...singBox,
    }),
  };
}

const vmess: ClientProtocol = {
  name: "vmess",
  inbound: { protocol: "vmess", settings: {} },
  xray: (port, user) => ({
    protocol: "vmess",
    settings: { vnext: [{ ...xrayServer(port), users: [{ id: user.proxies?.vmess?.id, security: "auto" }] }] },
  }),
  singBox: (port, user) => ({ type: "vmess", ...singBoxServer(port), uuid: user.proxies?.vmess?.id, security: "auto" }),
};

function trojan(tls: Tls): ClientProtocol {
  const { server, client } = streams("tls", { tlsSettings: tls.server }, { tlsSettings: tls.client });
  return {
    name: "trojan over TLS",
    inbound: { protocol: "trojan", settings: {}, ...server },
    xray: (port, user) => ({
      protocol: "trojan",
      settings: { servers: [{ ...xrayServer(port), password: user.proxies?.trojan?.password }] },
      ...client,
    }),
    singBox: (port, user) => ({
      type: "trojan",
      ...singBoxServer(port),
      password: user.proxies?.trojan?.password,
      tls: tls.singBox,
    }),
  };
}

function shadowsocks(method: string): ClientProtocol {
  return {
    name: `shadowsocks ${method}`,
    inbound: { protocol: "shadowsocks", settings: { network: "tcp,udp" } },
    prepare(user) {
      if (user.proxies?.shadowsocks) user.proxies.shadowsocks.method = method;
    },
    ...shadowsocksClients(method, (user) => user.proxies?.shadowsocks?.password),
  };
}

/** A client's password is the inbound's key and the user's own, which is made from a password that is no key. */
function shadowsocks2022(method: string, keyBytes: number): ClientProtocol {
  const serverKey = randomBytes(keyBytes).toString("base64");
  const keyOf = (password: string) =>
    createHash("sha256").update(password).digest().subarray(0, keyBytes).toString("base64");
  return {
    name: `shadowsocks ${method}`,
    inbound: { protocol: "shadowsocks", settings: { method, password: serverKey, network: "tcp,udp" } },
    ...shadowsocksClients(method, (user) => `${serverKey}:${keyOf(user.proxies?.shadowsocks?.password ?? "")}`),
  };
}

function shadowsocksClients(
  method: string,
  passwordOf: (user: User) => string | undefined,
): Pick<ClientProtocol, "xray" | "singBox"> {
  return {
    xray: (port, user) => ({
      protocol: "shadowsocks",
      settings: { servers: [{ ...xrayServer(port), method, password: passwordOf(user) }] },
    }),
    singBox: (port, user) => ({
      type: "shadowsocks",
      ...singBoxServer(port),
      method,
      password: passwordOf(user),
    }),
  };
}

function hysteria2(tls: Tls): ClientProtocol {
  const alpn = ["h3"];
  const settings = { version: 2 };
  const network = "hysteria";
  const secured = { network, security: "tls" };
  return {
    name: "hysteria 2",
    inbound: {
      protocol: "hysteria",
      settings,
      streamSettings: { ...secured, tlsSettings: { ...tls.server, alpn }, hysteriaSettings: settings },
    },
    xray: (port, user) => ({
      protocol: "hysteria",
      settings: { ...settings, ...xrayServer(port) },
      streamSettings: {
        ...secured,
        tlsSettings: { ...tls.client, alpn },
        hysteriaSettings: { ...settings, auth: user.proxies?.hysteria?.auth },
      },
    }),
    singBox: (port, user) => ({
      type: "hysteria2",
      ...singBoxServer(port),
      password: user.proxies?.hysteria?.auth,
      tls: { ...tls.singBox, alpn },
    }),
  };
}

/** REALITY, which borrows the handshake of a TLS server: one on this machine. */
export async function createReality({ cert, key }: SelfSigned) {
  const target = createServer({
    cert,
    key,
    ALPNProtocols: ["h2", "http/1.1"],
    minVersion: "TLSv1.3",
  });
  target.on("secureConnection", (socket) => socket.on("error", () => socket.destroy()));
  target.on("tlsClientError", (_error, socket) => socket.destroy());
  await once(target.listen(0, "127.0.0.1"), "listening");
  const { port } = target.address() as AddressInfo;
  const { d: privateKey, x: publicKey } = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  const shortId = randomBytes(8).toString("hex");
  return {
    server: { target: `127.0.0.1:${port}`, serverNames: ["localhost"], privateKey, shortIds: [shortId] },
    client: { serverName: "localhost", fingerprint: "chrome", publicKey, shortId },
    singBox: {
      enabled: true,
      server_name: "localhost",
      utls: { enabled: true, fingerprint: "chrome" },
      reality: { enabled: true, public_key: publicKey, short_id: shortId },
    },
    async close() {
      target.close();
      await once(target, "close");
    },
  };
}
