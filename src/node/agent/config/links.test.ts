import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { NodeConfigSchema } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { VpnProtocol } from "../../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { linksOf, ownerIn, readUserName } from "./links.ts";

const uuid = (digit: number) => `${digit}0000000-0000-4000-8000-000000000000`;
const nothing = { owners: new Map(), former: new Map() };
const dayMs = 86_400_000;

function configWith(...users: number[]) {
  const clients = users.map((user) => ({ email: `7.${uuid(user)}`, id: uuid(user) }));
  return create(NodeConfigSchema, {
    clientMap: Object.fromEntries(users.map((user) => [uuid(user), { userId: BigInt(user), subscriptionId: 5n }])),
    services: {
      xray: { inbounds: JSON.stringify([{ tag: "in", protocol: "vless", settings: { clients } }]), outbounds: "[]" },
      mtproto: { inbounds: [{ nodeProtocolId: 9n }] },
      wireguard: { inbounds: [{ nodeProtocolId: 11n }] },
    },
  });
}

test("links belong to whom the config says, protocols are known by their users", () => {
  const links = linksOf(configWith(1), nothing, 0);
  expect(ownerIn(links, uuid(1))).toEqual({ userId: 1, subscriptionId: 5 });
  expect(ownerIn(links, uuid(2))).toBeUndefined();
  expect([...links.protocols]).toEqual([["in", 7]]);
  expect([...links.kinds]).toEqual([
    [7, VpnProtocol.VLESS],
    [9, VpnProtocol.MTPROTO],
    [11, VpnProtocol.WIREGUARD],
  ]);
});

test("a link without a subscription has none", () => {
  const config = create(NodeConfigSchema, { mtprotoClientMap: { [uuid(1)]: { userId: 1n } } });
  expect(ownerIn(linksOf(config, nothing, 0), uuid(1))).toEqual({ userId: 1, subscriptionId: undefined });
});

test("a link that is removed is remembered for a week: its connections may live on", () => {
  const before = linksOf(configWith(1, 2), nothing, 0);
  const after = linksOf(configWith(2), before, 1_000);
  expect(ownerIn(after, uuid(1))).toMatchObject({ userId: 1, subscriptionId: 5 });
  expect(ownerIn(linksOf(configWith(2), after, 6 * dayMs), uuid(1))).toMatchObject({ userId: 1 });
  expect(ownerIn(linksOf(configWith(2), after, 8 * dayMs), uuid(1))).toBeUndefined();
  expect(linksOf(configWith(1), after, 2_000).former.size).toBe(1);
});

test.each([
  [`7.${uuid(1)}`, { nodeProtocolId: 7, uuid: uuid(1) }],
  ["alice", undefined],
  [`x.${uuid(1)}`, undefined],
])("the name %s of an engine's user says %j", (name, read) => {
  expect(readUserName(name)).toEqual(read);
});
