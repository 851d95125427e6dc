import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { WireGuardServiceConfigSchema } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { ConfigRefused } from "../../engines/engine-error.ts";
import { readWireGuardConfig } from "../../engines/wireguard/config.ts";
import { ConfigInvalid } from "./failure.ts";
import { wireGuardRequest } from "./wireguard-request.ts";

const key = (byte: number) => Buffer.alloc(32, byte).toString("base64");
const linkUuid = "10000000-0000-4000-8000-000000000000";
const inbound = {
  ...{ nodeProtocolId: 7n, tag: "wg0", port: 51_821, privateKey: key(1), addresses: ["10.66.0.1/16", "fd66::1/64"] },
  users: [{ linkUuid, publicKey: key(2), peerIps: ["10.66.0.2/32", "fd66::2/128"] }],
};
const requestFor = (...inbounds: MessageInitShape<typeof WireGuardServiceConfigSchema>["inbounds"] & object) =>
  wireGuardRequest(create(WireGuardServiceConfigSchema, { inbounds }));

test("an interface is what the engine reads, and its users are the engine's, by protocol and link", () => {
  const { config, users } = requestFor({ ...inbound, preSharedKey: key(3) });
  expect(readWireGuardConfig(config)).toMatchObject({
    ...{ interfaceName: "wg0", privateKey: key(1), preSharedKey: key(3), listenPort: 51_821 },
    addresses: [{ address: "10.66.0.1/16" }, { address: "fd66::1/64" }],
  });
  expect(users).toEqual([
    expect.objectContaining({
      ...{ email: `7.${linkUuid}`, inbounds: ["wg0"] },
      proxies: expect.objectContaining({
        wireguard: expect.objectContaining({ publicKey: key(2), peerIps: ["10.66.0.2/32", "fd66::2/128"] }),
      }),
    }),
  ]);
});

test("without a shared key there is none", () => {
  expect(readWireGuardConfig(requestFor(inbound).config).preSharedKey).toBeUndefined();
});

test.each([
  ["no interface", [], /inbounds is empty/],
  ["two interfaces", [inbound, { ...inbound, tag: "wg1" }], /2 interfaces, wg0, wg1: a node runs one at most/],
  // The engine has usual values for these.
  ["an interface without a name", [{ ...inbound, tag: "" }], /\[0\]\.tag is missing/],
  ["an interface without a port", [{ ...inbound, port: 0 }], /\[0\]\.port is missing/],
])("a config with %s cannot be meant", (_, inbounds, text) => {
  const attempt = () => requestFor(...inbounds);
  expect(attempt).toThrow(ConfigInvalid);
  expect(attempt).toThrow(text);
});

test("what the engine finds wrong is left to it, and says no key", () => {
  const attempt = () => readWireGuardConfig(requestFor({ ...inbound, privateKey: "c2VjcmV0" }).config);
  expect(attempt).toThrow(ConfigRefused);
  expect(attempt).not.toThrow(/c2VjcmV0/);
});
