import { type Access, type Endpoint, isBare, type Security, type Transport } from "../../endpoint.ts";
import { commonFingerprint } from "../fingerprint.ts";

/** An endpoint as Mihomo has it among its `proxies`; undefined when it does not know what the endpoint uses. */
export function clashProxy(endpoint: Endpoint): object | undefined {
  const { name, host, port, access, security, masks } = endpoint;
  if (masks !== undefined) return undefined;
  const server = { name, server: host, port };
  switch (access.protocol) {
    case "vless": {
      const { id, flow, encryption } = access;
      const own = { uuid: id, flow: flow || undefined, encryption: encryption === "none" ? undefined : encryption };
      return overStream({ ...server, type: "vless", udp: true, ...own }, "servername", endpoint);
    }
    case "vmess": {
      // As its VLESS has it: else datagrams to each target leave the server from a port of their own.
      const own = { uuid: access.id, alterId: 0, cipher: "auto", "packet-encoding": "xudp" };
      return overStream({ ...server, type: "vmess", udp: true, ...own }, "servername", endpoint);
    }
    case "trojan":
      // There it always is within TLS.
      if (security.kind === "none") return undefined;
      return overStream({ ...server, type: "trojan", udp: true, password: access.password }, "sni", endpoint);
    case "shadowsocks": {
      const { method, password, udp } = access;
      return isBare(endpoint) ? { ...server, type: "ss", cipher: method, password, udp } : undefined;
    }
    case "hysteria2": {
      if (security.kind !== "tls") return undefined;
      const obfs = access.obfs === "" ? undefined : { obfs: "salamander", "obfs-password": access.obfs };
      const own = { type: "hysteria2", password: access.auth, sni: security.sni };
      return { ...server, ...own, ...certificateMembers(security), ...obfs };
    }
    case "wireguard":
      return { ...server, type: "wireguard", udp: true, ...wireGuardMembers(access) };
    case "mtproto":
      return undefined;
  }
}

function wireGuardMembers(access: Extract<Access, { protocol: "wireguard" }>): object {
  const { privateKey, addresses, serverKey, preSharedKey, dns, mtu, allowedIps, keepaliveSeconds } = access;
  return {
    ip: addresses.find((address) => !address.includes(":")),
    ipv6: addresses.find((address) => address.includes(":")),
    "private-key": privateKey,
    "public-key": serverKey,
    "pre-shared-key": preSharedKey || undefined,
    "allowed-ips": allowedIps,
    mtu,
    "persistent-keepalive": keepaliveSeconds || undefined,
    // Only addresses go through a tunnel: names are to be asked for there as well.
    ...(dns.length > 0 && { "remote-dns-resolve": true, dns }),
  };
}

function overStream(proxy: object, nameMember: string, { access, transport, security }: Endpoint): object | undefined {
  const members = transportMembers(transport, access.protocol, security);
  return members && { ...proxy, ...securityMembers(security, nameMember), ...members };
}

function transportMembers(transport: Transport, protocol: string, security: Security): object | undefined {
  switch (transport.kind) {
    case "raw": {
      if (transport.http === undefined) return {};
      if (protocol === "trojan" || security.kind !== "none") return undefined;
      const { hosts, paths } = transport.http;
      const headers = hosts.length > 0 ? { Host: hosts } : undefined;
      return { network: "http", "http-opts": { method: "GET", path: paths, headers } };
    }
    case "ws": {
      const { path, earlyDataBytes } = transport;
      const early = { "max-early-data": earlyDataBytes, "early-data-header-name": "Sec-WebSocket-Protocol" };
      return {
        network: "ws",
        "ws-opts": { path, headers: hostHeader(transport.host), ...(earlyDataBytes > 0 && early) },
      };
    }
    case "httpupgrade": {
      const { path, host } = transport;
      return { network: "ws", "ws-opts": { path, headers: hostHeader(host), "v2ray-http-upgrade": true } };
    }
    case "grpc":
      // A name that begins so is a whole path, which Xray writes otherwise.
      if (transport.serviceName.startsWith("/")) return undefined;
      return { network: "grpc", "grpc-opts": { "grpc-service-name": transport.serviceName } };
    case "xhttp":
      return protocol === "vless" ? xhttpMembers(transport, security) : undefined;
    case "kcp":
      return undefined;
  }
}

function xhttpMembers(
  { path, host, mode, extra }: Extract<Transport, { kind: "xhttp" }>,
  security: Security,
): object | undefined {
  if (security.kind === "tls" && security.alpn.length === 1 && security.alpn[0] === "h3") return undefined;
  if (Object.keys(extra).some((name) => !knownExtra.has(name))) return undefined;
  const { headers, noGRPCHeader, xPaddingBytes, scMaxEachPostBytes } = extra;
  return {
    network: "xhttp",
    "xhttp-opts": {
      path,
      host: host || undefined,
      mode: mode || undefined,
      headers,
      "no-grpc-header": noGRPCHeader,
      "x-padding-bytes": xPaddingBytes === undefined ? undefined : String(xPaddingBytes),
      // A range is of Xray's alone, and the server's bound is its end.
      "sc-max-each-post-bytes": typeof scMaxEachPostBytes === "number" ? scMaxEachPostBytes : undefined,
    },
  };
}

// The last two are how a client of Xray's works, which another may do differently.
const knownExtra = new Set([
  ...["headers", "noGRPCHeader", "xPaddingBytes", "scMaxEachPostBytes"],
  ...["scMinPostsIntervalMs", "xmux"],
]);

function securityMembers(security: Security, nameMember: string) {
  if (security.kind === "none") return {};
  const fingerprint = commonFingerprint(security.fingerprint) || undefined;
  const common = { tls: true, [nameMember]: security.sni, "client-fingerprint": fingerprint };
  if (security.kind === "reality") {
    return { ...common, "reality-opts": { "public-key": security.publicKey, "short-id": security.shortId } };
  }
  return { ...common, ...certificateMembers(security) };
}

function certificateMembers({ alpn, insecure, certificate }: Extract<Security, { kind: "tls" }>): object {
  return {
    alpn: alpn.length > 0 ? alpn : undefined,
    // Mihomo looks at the fingerprint of the certificate all the same; Clash knows no such thing.
    "skip-cert-verify": insecure || undefined,
    fingerprint: certificate?.sha256,
  };
}

function hostHeader(host: string): object | undefined {
  return host === "" ? undefined : { Host: host };
}
