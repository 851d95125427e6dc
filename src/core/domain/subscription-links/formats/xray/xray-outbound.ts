import type { Access, Endpoint, Security, Transport } from "../../endpoint.ts";
import { authority } from "../authority.ts";
import { pathWithEarlyData } from "../links/parameters.ts";

/**
 * An endpoint as an outbound of Xray with the tag `proxy`; undefined for MTProto, and where a certificate is to be taken
 * on trust that is not known: Xray does so no longer, and refuses a config that asks for it.
 */
export function xrayOutbound(endpoint: Endpoint): object | undefined {
  const { access, security } = endpoint;
  const proxy = proxyOf(endpoint, access);
  if (proxy === undefined || (security.kind === "tls" && security.insecure && security.certificate === undefined)) {
    return undefined;
  }
  return { tag: "proxy", ...proxy, streamSettings: access.protocol === "wireguard" ? undefined : streamOf(endpoint) };
}

function proxyOf(endpoint: Endpoint, access: Access): { protocol: string; settings: object } | undefined {
  const { host, port } = endpoint;
  const server = { address: host, port };
  switch (access.protocol) {
    case "vless": {
      const { id, encryption, flow } = access;
      const user = { id, encryption, flow: flow || undefined };
      return { protocol: "vless", settings: { vnext: [{ ...server, users: [user] }] } };
    }
    case "vmess":
      return { protocol: "vmess", settings: { vnext: [{ ...server, users: [{ id: access.id, security: "auto" }] }] } };
    case "trojan":
      return { protocol: "trojan", settings: { servers: [{ ...server, password: access.password }] } };
    case "shadowsocks": {
      const { method, password } = access;
      return { protocol: "shadowsocks", settings: { servers: [{ ...server, method, password }] } };
    }
    case "hysteria2":
      return { protocol: "hysteria", settings: { version: 2, ...server } };
    case "wireguard":
      return { protocol: "wireguard", settings: wireGuardSettings(endpoint, access) };
    case "mtproto":
      return undefined;
  }
}

function wireGuardSettings(endpoint: Endpoint, access: Extract<Access, { protocol: "wireguard" }>): object {
  const { privateKey, addresses, serverKey, preSharedKey, mtu, allowedIps, keepaliveSeconds } = access;
  const peer = {
    publicKey: serverKey,
    preSharedKey: preSharedKey || undefined,
    endpoint: authority(endpoint),
    allowedIPs: allowedIps,
    keepAlive: keepaliveSeconds || undefined,
  };
  // With an interface of the system's it would change routes there, where it may.
  return { secretKey: privateKey, address: addresses, peers: [peer], mtu, noKernelTun: true };
}

function streamOf({ access, transport, security, masks }: Endpoint): object {
  if (access.protocol === "hysteria2") {
    const { auth, obfs } = access;
    const salamander = obfs === "" ? undefined : { udp: [{ type: "salamander", settings: { password: obfs } }] };
    return {
      network: "hysteria",
      ...securityOf(security),
      hysteriaSettings: { version: 2, auth },
      finalmask: salamander ?? masks,
    };
  }
  return { ...transportOf(transport), ...securityOf(security), finalmask: masks };
}

function transportOf(transport: Transport): object {
  switch (transport.kind) {
    case "raw": {
      if (transport.http === undefined) return { network: "tcp" };
      const { hosts, paths } = transport.http;
      const headers = hosts.length > 0 ? { Host: hosts } : undefined;
      return { network: "tcp", tcpSettings: { header: { type: "http", request: { path: paths, headers } } } };
    }
    case "ws":
      return { network: "ws", wsSettings: { path: pathWithEarlyData(transport), host: transport.host || undefined } };
    case "httpupgrade":
      return {
        network: "httpupgrade",
        httpupgradeSettings: { path: transport.path, host: transport.host || undefined },
      };
    case "grpc": {
      const { serviceName, authority, multi } = transport;
      return { network: "grpc", grpcSettings: { serviceName, authority: authority || undefined, multiMode: multi } };
    }
    case "xhttp": {
      const { path, host, mode, extra } = transport;
      return {
        network: "xhttp",
        xhttpSettings: {
          path,
          host: host || undefined,
          mode: mode || "auto",
          extra: Object.keys(extra).length > 0 ? extra : undefined,
        },
      };
    }
    case "kcp": {
      const { mtu, tti } = transport;
      return { network: "kcp", kcpSettings: { mtu, tti } };
    }
  }
}

function securityOf(security: Security): object {
  if (security.kind === "none") return {};
  if (security.kind === "reality") {
    const { sni, fingerprint, publicKey, shortId, spiderX } = security;
    const realitySettings = { serverName: sni, fingerprint, publicKey, shortId, spiderX: spiderX || undefined };
    return { security: "reality", realitySettings };
  }
  const { sni, alpn, fingerprint, certificate } = security;
  return {
    security: "tls",
    tlsSettings: {
      serverName: sni,
      alpn: alpn.length > 0 ? alpn : undefined,
      fingerprint: fingerprint || undefined,
      pinnedPeerCertSha256: certificate?.sha256,
    },
  };
}
