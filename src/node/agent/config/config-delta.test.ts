import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  ConfigDeltaSchema,
  type ConfigOperation,
  ConfigOperationSchema,
  type NodeConfig,
  NodeConfigSchema,
  WireGuardPeerKeySchema,
  WireGuardPeerSchema,
  WireGuardServiceConfigSchema,
} from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { contentOf, digestOf } from "./config-content.ts";
import { afterDelta } from "./config-delta.ts";

const uuid = (digit: number) => `${digit}0000000-0000-4000-8000-000000000000`;
const user = (digit: number, publicKey = `${digit}`) => {
  return { linkUuid: uuid(digit), publicKey, peerIps: [`10.66.0.${digit}/32`] };
};
const service = (...users: ReturnType<typeof user>[]) =>
  create(WireGuardServiceConfigSchema, {
    inbounds: [{ nodeProtocolId: 7n, tag: "wg0", port: 51_820, privateKey: "p", addresses: ["10.66.0.1/16"], users }],
  });
const configWith = (wireguard?: ReturnType<typeof service>): NodeConfig =>
  create(NodeConfigSchema, { services: { ...(wireguard && { wireguard }) } });
const put = (digit: number, publicKey?: string, inboundTag = "wg0"): ConfigOperation["operation"] => {
  return { case: "putWireguardPeer", value: create(WireGuardPeerSchema, { inboundTag, user: user(digit, publicKey) }) };
};
const remove = (digit: number, inboundTag = "wg0"): ConfigOperation["operation"] => {
  return {
    case: "removeWireguardPeer",
    value: create(WireGuardPeerKeySchema, { inboundTag, linkUuid: uuid(digit) }),
  };
};

/** Whether these steps lead from one config to the other. */
function leads(from: NodeConfig, to: NodeConfig, ...operations: ConfigOperation["operation"][]): boolean {
  const delta = create(ConfigDeltaSchema, {
    ...{ revision: 2n, digest: digestOf(contentOf(to)) },
    operations: operations.map((operation) => create(ConfigOperationSchema, { operation })),
  });
  return afterDelta(contentOf(from), delta)?.content === contentOf(to);
}

test.each<[what: string, from: NodeConfig, to: NodeConfig, steps: ConfigOperation["operation"][]]>([
  ["an interface comes", configWith(), configWith(service()), [{ case: "replaceWireguard", value: service() }]],
  ["an interface goes", configWith(service()), configWith(), [{ case: "removeWireguard", value: true }]],
  ["the first user comes", configWith(service()), configWith(service(user(2))), [put(2)]],
  [
    "users come to their places",
    configWith(service(user(2))),
    configWith(service(user(1), user(2), user(3))),
    [put(3), put(1)],
  ],
  [
    "a user gets another key",
    configWith(service(user(1), user(2))),
    configWith(service(user(1, "k"), user(2))),
    [put(1, "k")],
  ],
  ["the last user goes", configWith(service(user(2))), configWith(service()), [remove(2)]],
])("%s by a step of a delta", (_, from, to, steps) => {
  expect(leads(from, to, ...steps)).toBe(true);
});

test.each<[what: string, step: ConfigOperation["operation"]]>([
  ["of an interface that is not there", put(2, undefined, "wg1")],
  ["who is not there", remove(3)],
  ["of an interface that is not there any more", remove(1, "wg1")],
])("a step about a user %s cannot be taken", (_, step) => {
  const config = configWith(service(user(1)));
  expect(leads(config, config, step)).toBe(false);
  expect(leads(configWith(), configWith(), step)).toBe(false);
});
