import { type Access, type Endpoint, isBare, type Security, type Transport } from "../../endpoint.ts";
import { commonFingerprint } from "../fingerprint.ts";

/** An endpoint as an outbound of sing-box, WireGuard as one of its `endpoints`; undefined when it does not know what the endpoint uses. */
export function singBoxOutbound(endpoint: Endpoint): object | undefined {
  const { name, host, port, access, security, masks } = endpoint;
  if (masks !== undefined) return undefined;
  const server = { tag: name, server: host, server_port: port };
  switch (access.protocol) {
    case "vless": {
      if (access.encryption !== "none") return undefined;
      return overStream({ type: "vless", ...server, uuid: access.id, flow: access.flow || undefined }, endpoint);
    }
    case "vmess":
      // As its VLESS has it: else datagrams to each target leave the server from a port of their own.
      return overStream(
        { type: "vmess", ...server, uuid: access.id, security: "auto", packet_encoding: "xudp" },
        endpoint,
      );
    case "trojan":
      return overStream({ type: "trojan", ...server, password: access.password }, endpoint);
    case "shadowsocks": {
      const { method, password, udp } = access;
      if (!isBare(endpoint)) return undefined;
      return { type: "shadowsocks", ...server, method, password, network: udp ? undefined : "tcp" };
    }
    case "hysteria2": {
      if (security.kind !== "tls") return undefined;
      const obfs = access.obfs === "" ? undefined : { type: "salamander", password: access.obfs };
      const tls = tlsOf({ ...security, fingerprint: "" }, security.alpn);
      return { type: "hysteria2", ...server, password: access.auth, obfs, tls };
    }
    case "wireguard":
      return wireGuardEndpoint(endpoint, access);
    case "mtproto":
      return undefined;
  }
}

function wireGuardEndpoint({ name, host, port }: Endpoint, access: Extract<Access, { protocol: "wireguard" }>): object {
  const { privateKey, addresses, serverKey, preSharedKey, mtu, allowedIps, keepaliveSeconds } = access;
  const peer = {
    address: host,
    port,
    public_key: serverKey,
    pre_shared_key: preSharedKey || undefined,
    allowed_ips: allowedIps,
    persistent_keepalive_interval: keepaliveSeconds || undefined,
  };
  return { type: "wireguard", tag: name, mtu, address: addresses, private_key: privateKey, peers: [peer] };
}

function overStream(outbound: object, { transport, security }: Endpoint): object | undefined {
  const over = transportOf(transport, security);
  if (over === undefined) return undefined;
  // Over HTTP it chooses by itself what to agree on.
  const alpn = security.kind === "tls" && transport.kind === "raw" ? security.alpn : [];
  return { ...outbound, tls: tlsOf(security, alpn), ...over };
}

function transportOf(transport: Transport, security: Security): { transport?: object } | undefined {
  switch (transport.kind) {
    case "raw": {
      if (transport.http === undefined) return {};
      // What Xray makes look like HTTP/1.1, sing-box calls HTTP, where there is no TLS.
      if (security.kind !== "none") return undefined;
      const { hosts, paths } = transport.http;
      return { transport: { type: "http", host: hosts, path: paths[0], method: "GET" } };
    }
    case "ws": {
      const { path, host, earlyDataBytes } = transport;
      const early = { max_early_data: earlyDataBytes, early_data_header_name: "Sec-WebSocket-Protocol" };
      const headers = host === "" ? undefined : { Host: host };
      return { transport: { type: "ws", path, headers, ...(earlyDataBytes > 0 && early) } };
    }
    case "httpupgrade":
      return { transport: { type: "httpupgrade", path: transport.path, host: transport.host || undefined } };
    case "grpc":
      // A name that begins so is a whole path to Xray, and not to others.
      if (transport.serviceName.startsWith("/")) return undefined;
      return { transport: { type: "grpc", service_name: transport.serviceName } };
    case "xhttp":
    case "kcp":
      return undefined;
  }
}

function tlsOf(security: Security, alpn: readonly string[]): object | undefined {
  if (security.kind === "none") return undefined;
  const fingerprint = commonFingerprint(security.fingerprint);
  const common = {
    enabled: true,
    server_name: security.sni,
    alpn: alpn.length > 0 ? alpn : undefined,
    utls: fingerprint === "" ? undefined : { enabled: true, fingerprint },
  };
  if (security.kind === "reality") {
    return { ...common, reality: { enabled: true, public_key: security.publicKey, short_id: security.shortId } };
  }
  const { insecure, certificate } = security;
  // It trusts a certificate only for the names in it.
  return certificate?.namesServer
    ? { ...common, certificate: certificate.pem.trim().split("\n") }
    : { ...common, insecure: insecure || undefined };
}
