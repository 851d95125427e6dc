import { shadowsocksPassword } from "../credentials.ts";
import type { LinkRow } from "./rows.ts";

/** How users of one protocol stand in an inbound of Xray. */
interface XrayProtocol {
  /** Xray's name of the protocol. */
  readonly name: string;
  /** The inbound's settings without what every user is given instead. */
  settings?(settings: Settings): Settings;
  /** Writes a user as canonical JSON. `prefix` begins the `email`. */
  client(settings: Settings, prefix: string): (link: LinkRow) => string;
  /** An inbound without users would let in whoever knows the inbound's own key, or not start: it is left out. */
  readonly needsUsers?: boolean;
}

/** `settings` of an inbound. */
type Settings = Readonly<Record<string, unknown>>;

/** By the spelling of `VpnProtocol`. The members of users are sorted by name, as canonical JSON wants them. */
export const xrayProtocols: ReadonlyMap<string, XrayProtocol> = new Map<string, XrayProtocol>([
  [
    "vless",
    {
      name: "vless",
      settings: ({ flow: _, ...settings }) => ({ decryption: "none", ...settings }),
      client({ flow }, prefix) {
        const ownFlow = typeof flow === "string" && flow !== "" ? `"flow":${JSON.stringify(flow)},` : "";
        return ({ uuid, secret }) => `{"email":"${prefix}${uuid}",${ownFlow}"id":${JSON.stringify(secret || uuid)}}`;
      },
    },
  ],
  [
    "vmess",
    {
      name: "vmess",
      client:
        (_, prefix) =>
        ({ uuid, secret }) =>
          `{"email":"${prefix}${uuid}","id":${JSON.stringify(secret || uuid)}}`,
    },
  ],
  [
    "trojan",
    {
      name: "trojan",
      client:
        (_, prefix) =>
        ({ uuid, secret }) =>
          `{"email":"${prefix}${uuid}","password":${JSON.stringify(secret)}}`,
    },
  ],
  [
    "shadowsocks",
    {
      name: "shadowsocks",
      needsUsers: true,
      settings: (settings) => (is2022(settings) ? settings : { ...settings, method: undefined, password: undefined }),
      client(settings, prefix) {
        const method = String(settings.method ?? "chacha20-ietf-poly1305");
        const ownMethod = is2022(settings) ? "" : `"method":${JSON.stringify(method)},`;
        return ({ uuid, secret }) =>
          `{"email":"${prefix}${uuid}",${ownMethod}"password":${JSON.stringify(shadowsocksPassword(method, secret))}}`;
      },
    },
  ],
  [
    "hysteria2",
    {
      name: "hysteria",
      settings: (settings) => ({ ...settings, version: 2 }),
      client:
        (_, prefix) =>
        ({ uuid, secret }) =>
          `{"auth":${JSON.stringify(secret)},"email":"${prefix}${uuid}"}`,
    },
  ],
]);

function is2022({ method }: Settings): boolean {
  return typeof method === "string" && method.startsWith("2022-");
}
