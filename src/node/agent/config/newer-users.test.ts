import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { NodeConfigSchema } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { withUsersOf } from "./newer-users.ts";

const uuid = (digit: number) => `${digit}0000000-0000-4000-8000-000000000000`;
const links = (...users: number[]) => Object.fromEntries(users.map((user) => [uuid(user), { userId: BigInt(user) }]));
const config = (init: MessageInitShape<typeof NodeConfigSchema>) => create(NodeConfigSchema, init);

interface Inbound {
  readonly tag: string;
  readonly protocol: string;
  readonly settings?: { readonly [name: string]: unknown; readonly clients?: readonly object[] };
}
const vless = (tag: string, ...clients: readonly object[]): Inbound => ({
  ...{ tag, protocol: "vless" },
  settings: { decryption: "none", clients },
});
const client = (user: number, more: object = {}) => ({ email: `7.${uuid(user)}`, id: uuid(user), ...more });
const xray = (inbounds: readonly Inbound[], outbounds = "[]") => ({
  xray: { inbounds: JSON.stringify(inbounds), outbounds },
});

/** The inbounds of Xray that come of two configs. */
function inboundsOf(older: readonly Inbound[], newer: readonly Inbound[] | string, users: readonly number[]): unknown {
  const services =
    typeof newer === "string" ? { xray: { inbounds: newer, outbounds: "[]" } } : xray(newer, '[{"tag":"bad"}]');
  const merged = withUsersOf(
    config({ clientMap: links(1, 2), services: xray(older) }),
    config({ clientMap: links(...users), services }),
  );
  expect(merged.services?.xray?.outbounds).toBe("[]");
  return JSON.parse(merged.services?.xray?.inbounds ?? "");
}

test("an inbound that is in both has the users of the newer, and else stays as it is", () => {
  const newer = [
    { ...vless("in", client(2), client(3)), settings: { decryption: "other", clients: [client(2), client(3)] } },
  ];
  expect(inboundsOf([vless("in", client(1), client(2))], newer, [2, 3])).toEqual([vless("in", client(2), client(3))]);
});

test("whoever is in both stays as they are, unless the credential is another", () => {
  const newer = [vless("in", client(1, { flow: "new" }), client(2, { id: uuid(9) }))];
  const older = [vless("in", client(1, { flow: "old" }), client(2))];
  expect(inboundsOf(older, newer, [1, 2])).toEqual([
    vless("in", client(1, { flow: "old" }), client(2, { id: uuid(9) })),
  ]);
});

test.each<[string, readonly Inbound[] | string]>([
  ["that the newer does not have", [vless("other", client(3))]],
  ["that is of another protocol in the newer", [{ ...vless("in", client(3)), protocol: "vmess" }]],
  ["of a newer that cannot be read", "{"],
])("an inbound %s keeps those whose links there still are, and users of its own", (_what, newer) => {
  const own = { email: "monitoring", id: uuid(8) };
  expect(inboundsOf([vless("in", client(1), client(2), own)], newer, [2, 3])).toEqual([vless("in", client(2), own)]);
});

test("an inbound without users stays without", () => {
  const socks = { tag: "socks", protocol: "socks", settings: { udp: true } };
  expect(inboundsOf([socks], [vless("in", client(1))], [1])).toEqual([socks]);
  expect(inboundsOf([vless("in")], [vless("in", client(1))], [1])).toEqual([vless("in", client(1))]);
});

test("links and terms are those of the newer; number and digest are not", () => {
  const terms = { 5: { expiresAtMs: 9n } };
  const older = config({ revision: 1n, digest: "a", clientMap: links(1), subscriptionTerms: { 4: {} } });
  const newer = config({
    revision: 2n,
    digest: "b",
    clientMap: links(2),
    mtprotoClientMap: links(3),
    subscriptionTerms: terms,
  });
  const { revision, digest, ...rest } = withUsersOf(older, newer);
  expect([revision, digest]).toEqual([1n, "a"]);
  expect(rest).toMatchObject({ clientMap: newer.clientMap, mtprotoClientMap: newer.mtprotoClientMap });
  expect(rest.subscriptionTerms).toEqual(newer.subscriptionTerms);
});

test("users of WireGuard stay as they are while their key is the same", () => {
  const peer = (user: number, publicKey: string, ip: string) => ({ linkUuid: uuid(user), publicKey, peerIps: [ip] });
  const served = (port: number, nodeProtocolId: bigint, ...users: ReturnType<typeof peer>[]) =>
    config({
      clientMap: links(...users.map(({ linkUuid }) => Number(linkUuid[0]))),
      services: { wireguard: { inbounds: [{ nodeProtocolId, tag: "wg0", port, users }] } },
    });
  const older = served(1, 8n, peer(1, "a", "10.0.0.1/32"), peer(2, "b", "10.0.0.2/32"), peer(4, "d", "10.0.0.4/32"));
  const newer = served(2, 8n, peer(1, "a", "10.9.0.1/32"), peer(2, "c", "10.9.0.2/32"), peer(3, "e", "10.9.0.3/32"));
  expect(withUsersOf(older, newer).services?.wireguard?.inbounds).toMatchObject([
    { port: 1, users: [peer(1, "a", "10.0.0.1/32"), peer(2, "c", "10.9.0.2/32"), peer(3, "e", "10.9.0.3/32")] },
  ]);
  const elsewhere = served(2, 9n, peer(2, "b", "10.9.0.2/32"));
  expect(withUsersOf(older, elsewhere).services?.wireguard?.inbounds).toMatchObject([
    { port: 1, users: [peer(2, "b", "10.0.0.2/32")] },
  ]);
});

test("users of MTProto are those of the newer, with their limits", () => {
  const served = (port: number, nodeProtocolId: bigint, ...users: { linkUuid: string; maxConnections: number }[]) =>
    config({
      mtprotoClientMap: links(...users.map(({ linkUuid }) => Number(linkUuid[0]))),
      services: { mtproto: { inbounds: [{ nodeProtocolId, port, users }] } },
    });
  const user = (digit: number, maxConnections: number) => ({ linkUuid: uuid(digit), maxConnections });
  const older = served(1, 8n, user(1, 1), user(2, 1));
  expect(withUsersOf(older, served(2, 8n, user(2, 5), user(3, 5))).services?.mtproto?.inbounds).toMatchObject([
    { port: 1, users: [user(2, 5), user(3, 5)] },
  ]);
  expect(withUsersOf(older, served(2, 9n, user(2, 5))).services?.mtproto?.inbounds).toMatchObject([
    { port: 1, users: [user(2, 1)] },
  ]);
});
