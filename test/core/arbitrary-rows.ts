import fc from "fast-check";
import type { LinkRow, NodeRows, ProtocolRow } from "../../src/core/domain/render/rows.ts";

// Rows as Core could have them, of few users and protocols, so that two sets of them have much in common.

const settings = {
  vless: [
    { settings: { flow: "xtls-rprx-vision" } },
    { streamSettings: { network: "ws", wsSettings: { path: '/"\\}' } } },
  ],
  vmess: [{}, { sniffing: { enabled: true, destOverride: ["http"] } }],
  trojan: [{ settings: { fallbacks: [{ dest: 80 }] } }, {}],
  shadowsocks: [
    { settings: { method: "aes-128-gcm", network: "tcp,udp" } },
    { settings: { method: "2022-blake3-aes-256-gcm", password: Buffer.alloc(32, 1).toString("base64") } },
  ],
  hysteria2: [{ streamSettings: { network: "hysteria" } }, {}],
  wireguard: [
    { privateKey: Buffer.alloc(32, 1).toString("base64"), addressPools: ["10.66.0.0/16", "fd66::/64"] },
    {
      privateKey: Buffer.alloc(32, 2).toString("base64"),
      preSharedKey: Buffer.alloc(32, 3).toString("base64"),
      addressPools: ["fd66::/64"],
    },
  ],
  mtproto: [{ modes: ["tls"], tlsDomains: ["example.org"] }, { settings: { general: { use_middle_proxy: false } } }],
};
type Kind = keyof typeof settings;
const kinds = Object.keys(settings) as Kind[];

const protocol = (id: number): fc.Arbitrary<ProtocolRow> => {
  const kind = kinds[id % kinds.length] ?? "vless";
  return fc.record({
    id: fc.constant(id),
    protocol: fc.constant(kind),
    tag: fc.constant(`${kind}-${id}`),
    listen: fc.constantFrom("", "127.0.0.1"),
    port: fc.constant(10_000 - id),
    enabled: fc.boolean(),
    settings: fc.constantFrom(...settings[kind].map((one) => JSON.stringify(one))),
    ...(kind === "wireguard" && { numbers }),
  });
};

/** Who is not among them has no address. */
const numbers = fc.subarray([1, 2, 3, 4, 16]).map((ids) => new Map(ids.map((id) => [id, id + 1])));

/** The rows of a node with up to eight protocols. */
export const arbitraryNode: fc.Arbitrary<NodeRows> = fc.record({
  nodeId: fc.constant(1),
  disabled: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  drainingSince: fc.constantFrom(null, null, 2_000),
  protocolVersion: fc.integer({ min: 0, max: 2 }),
  protocols: fc
    .subarray([1, 2, 3, 4, 5, 6, 7, 8])
    .chain((ids) => fc.tuple(...ids.map(protocol)).map((rows): ProtocolRow[] => rows)),
  outbounds: fc
    .uniqueArray(
      fc.record({
        id: fc.integer({ min: 1, max: 9 }),
        tag: fc.constantFrom("direct", "blocked", "exit ⚡"),
        position: fc.integer({ min: 0, max: 2 }),
        enabled: fc.boolean(),
        config: fc.constantFrom('{"protocol":"freedom"}', '{"protocol":"blackhole","settings":{"10":1,"9":[1e21,-0]}}'),
      }),
      { selector: ({ tag }) => tag },
    )
    .filter((rows) => new Set(rows.map(({ id }) => id)).size === rows.length),
  routing: fc.constantFrom("{}", '{"rules":[{"outboundTag":"direct","port":"53"}],"domainStrategy":"AsIs"}'),
  extra: fc.constantFrom("{}", '{"dns":{"servers":["1.1.1.1"]},"log":{"loglevel":"debug"}}', '{"policy":{}}'),
});

const uuid = (n: number) => `${`${n * 7 + 10}`.padStart(8, "0")}-0000-4000-8000-${`${n}`.padStart(12, "0")}`;

/** The links of up to six subscriptions. */
export const arbitraryLinks: fc.Arbitrary<LinkRow[]> = fc
  .subarray([1, 2, 3, 4, 5, 16])
  .chain((ids) => fc.tuple(...ids.map(linksOf)).map((links): LinkRow[] => links.flat()));

function linksOf(subscriptionId: number): fc.Arbitrary<LinkRow[]> {
  return fc
    .record({
      kinds: fc.subarray(kinds),
      secret: fc.constantFrom("0123456789abcdef0123456789ABCDEF", 'se"cret\\ ⚡'),
      access: fc.option(
        fc.subarray([1, 2, 3, 4, 5, 6, 7, 8]).map((ids) => new Set(ids)),
        { nil: undefined },
      ),
      expiresAt: fc.constantFrom(null, 1_900_000_000_000),
      quotaBytes: fc.constantFrom(null, 1_000, 10 ** 12),
      deviceLimit: fc.constantFrom(null, 3),
      failOpen: fc.boolean(),
      createdAt: fc.constantFrom(1_000, 2_000),
    })
    .map(({ kinds: has, secret, ...rest }) =>
      has.map((kind) => ({
        uuid: uuid(subscriptionId * 10 + kinds.indexOf(kind)),
        protocol: kind,
        secret: kind === "vless" || kind === "vmess" ? "" : secret,
        publicKey: kind === "wireguard" ? Buffer.alloc(32, subscriptionId).toString("base64") : "",
        subscriptionId,
        userId: subscriptionId + 100,
        ...rest,
      })),
    );
}
