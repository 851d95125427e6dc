/** One way for a user to connect: a protocol of a node with the user's credential, and all that a client has to know. */
export interface Endpoint {
  readonly nodeId: number;
  readonly nodeProtocolId: number;
  /** What the user sees it by. No two of one subscription have the same. */
  readonly name: string;
  /** A domain name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** Its node shall take no new users: nothing that chooses by itself chooses it while there is another. */
  readonly draining: boolean;
  readonly access: Access;
  readonly transport: Transport;
  readonly security: Security;
  /** What Xray alone wraps it in besides, and both sides have to agree on: members of its `finalmask`. */
  readonly masks?: Masks;
}

/** `finalmask` of Xray. */
export type Masks = { readonly [name: string]: unknown };

/** Who the user is to the server, by protocol: the spelling of `VpnProtocol`. */
export type Access =
  | {
      readonly protocol: "vless";
      readonly id: string;
      /** `xtls-rprx-vision`, or empty. */
      readonly flow: string;
      /** VLESS Encryption as clients write it; `none`: without. */
      readonly encryption: string;
    }
  | { readonly protocol: "vmess"; readonly id: string }
  | { readonly protocol: "trojan"; readonly password: string }
  | {
      readonly protocol: "shadowsocks";
      readonly method: string;
      /** For methods of 2022 the server's key and the user's, with a colon between. */
      readonly password: string;
      readonly udp: boolean;
    }
  | {
      readonly protocol: "hysteria2";
      readonly auth: string;
      /** The password of Salamander; empty: without. */
      readonly obfs: string;
    }
  | {
      readonly protocol: "mtproto";
      /** In hex, as Telegram takes it: after `ee` with the domain behind it, after `dd`, or bare. */
      readonly secret: string;
    }
  | {
      readonly protocol: "wireguard";
      /** Keys are 32 bytes in base64. */
      readonly privateKey: string;
      /** The user's own in the tunnel, each as a range of one, such as `10.66.0.2/32`: at most one of a family. */
      readonly addresses: readonly string[];
      /** The server's public key. */
      readonly serverKey: string;
      /** Empty: none. */
      readonly preSharedKey: string;
      /** IP addresses. */
      readonly dns: readonly string[];
      readonly mtu: number | undefined;
      /** The ranges that are reached through the tunnel. */
      readonly allowedIps: readonly string[];
      /** 0: none are sent. */
      readonly keepaliveSeconds: number;
    };

/** How the bytes of a protocol travel. Texts may be empty: not told. */
export type Transport =
  | {
      readonly kind: "raw";
      /** It pretends to be HTTP/1.1. */
      readonly http?: { readonly hosts: readonly string[]; readonly paths: readonly string[] };
    }
  | {
      readonly kind: "ws";
      readonly path: string;
      readonly host: string;
      /** How many bytes a client sends with its request; 0: none. */
      readonly earlyDataBytes: number;
    }
  | { readonly kind: "httpupgrade"; readonly path: string; readonly host: string }
  | { readonly kind: "grpc"; readonly serviceName: string; readonly authority: string; readonly multi: boolean }
  | {
      readonly kind: "xhttp";
      readonly path: string;
      readonly host: string;
      readonly mode: string;
      /** What both sides have to agree on besides: members of Xray's `xhttpSettings`. */
      readonly extra: { readonly [name: string]: unknown };
    }
  | {
      readonly kind: "kcp";
      /** Bytes and milliseconds; undefined: as the client has it. */
      readonly mtu: number | undefined;
      readonly tti: number | undefined;
    };

/** What the transport is wrapped in. Texts may be empty: not told. */
export type Security =
  | { readonly kind: "none" }
  | {
      readonly kind: "tls";
      /** Never empty: where no name is told, the host. */
      readonly sni: string;
      readonly alpn: readonly string[];
      readonly fingerprint: string;
      /** The server's certificate is signed by nobody whom clients trust. */
      readonly insecure: boolean;
      /** That certificate, where Core has it. */
      readonly certificate?: PinnedCertificate;
    }
  | {
      readonly kind: "reality";
      readonly sni: string;
      readonly fingerprint: string;
      readonly publicKey: string;
      readonly shortId: string;
      readonly spiderX: string;
    };

/** A certificate that clients can know the server by. */
interface PinnedCertificate {
  /** In lower-case hex. */
  readonly sha256: string;
  /** PEM. */
  readonly pem: string;
  /** The server's `sni` is among its names. */
  readonly namesServer: boolean;
}

/** Whether a protocol travels as it is. */
export function isBare({ transport, security, masks }: Endpoint): boolean {
  return transport.kind === "raw" && transport.http === undefined && security.kind === "none" && masks === undefined;
}
