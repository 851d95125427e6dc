import { type Access, type Endpoint, isBare } from "../../endpoint.ts";
import { authority } from "../authority.ts";
import { type Parameters, query, securityQuery, transportQuery } from "./parameters.ts";
import { vmessLink } from "./vmess-link.ts";

/**
 * The link of an endpoint, as clients read it from text or from a QR code: the proposed standard of VLESS (XTLS, #91 and
 * #716), which Trojan follows; v2rayN's of VMess and WireGuard; SIP002 of Shadowsocks; Hysteria's own; Telegram's.
 * Undefined when no such link could say it.
 */
export function shareLink(endpoint: Endpoint): string | undefined {
  const { access } = endpoint;
  switch (access.protocol) {
    case "vless":
      return withParameters(endpoint, access.id, { encryption: access.encryption, flow: access.flow });
    case "trojan":
      return withParameters(endpoint, access.password, {});
    case "vmess":
      return vmessLink(endpoint, access.id);
    case "shadowsocks":
      return shadowsocksLink(endpoint, access);
    case "hysteria2":
      return hysteria2Link(endpoint, access);
    case "mtproto":
      return `tg://proxy?${query({ server: endpoint.host, port: String(endpoint.port), secret: access.secret })}`;
    case "wireguard":
      return wireGuardLink(endpoint, access);
  }
}

function withParameters(endpoint: Endpoint, user: string, own: Parameters): string {
  const { access, transport, security, masks } = endpoint;
  const parts = [query(own), transportQuery(transport), securityQuery(security)];
  if (masks !== undefined) parts.push(query({ fm: JSON.stringify(masks) }));
  const all = parts.filter((part) => part !== "").join("&");
  return `${access.protocol}://${encodeURIComponent(user)}@${authority(endpoint)}?${all}${fragment(endpoint)}`;
}

type Of<P extends Access["protocol"]> = Extract<Access, { protocol: P }>;

function shadowsocksLink(endpoint: Endpoint, { method, password }: Of<"shadowsocks">): string | undefined {
  if (!isBare(endpoint)) return undefined;
  // Keys of 2022 are base64 already: SIP022 has them percent-encoded.
  const user = method.startsWith("2022-")
    ? `${method}:${encodeURIComponent(password)}`
    : Buffer.from(`${method}:${password}`).toString("base64url");
  return `ss://${user}@${authority(endpoint)}${fragment(endpoint)}`;
}

function hysteria2Link(endpoint: Endpoint, { auth, obfs }: Of<"hysteria2">): string | undefined {
  const { security, masks } = endpoint;
  if (security.kind !== "tls" || masks !== undefined) return undefined;
  const parameters = query({
    sni: security.sni,
    alpn: security.alpn.join(","),
    insecure: security.insecure ? "1" : "",
    pinSHA256: security.certificate?.sha256 ?? "",
    obfs: obfs === "" ? "" : "salamander",
    "obfs-password": obfs,
  });
  return `hysteria2://${encodeURIComponent(auth)}@${authority(endpoint)}/?${parameters}${fragment(endpoint)}`;
}

/** Whose link it is sends all that it has through the tunnel: such links tell no ranges, and no resolvers. */
function wireGuardLink(endpoint: Endpoint, access: Of<"wireguard">): string {
  const parameters = query({
    publickey: access.serverKey,
    presharedkey: access.preSharedKey,
    address: access.addresses.join(","),
    mtu: String(access.mtu ?? ""),
  });
  return `wireguard://${encodeURIComponent(access.privateKey)}@${authority(endpoint)}?${parameters}${fragment(endpoint)}`;
}

function fragment({ name }: Endpoint): string {
  return `#${encodeURIComponent(name)}`;
}
