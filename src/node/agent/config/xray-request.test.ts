import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { XrayServiceConfigSchema } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { ConfigInvalid } from "./failure.ts";
import { xrayRequest } from "./xray-request.ts";

const email = "7.00000000-0000-4000-8000-000000000000";
const outbounds = '[{"protocol":"freedom","tag":"direct"}]';

/** The request for one inbound. */
function requestFor(inbound: object, more: MessageInitShape<typeof XrayServiceConfigSchema> = {}) {
  const service = create(XrayServiceConfigSchema, { inbounds: JSON.stringify([inbound]), outbounds, ...more });
  const { config, users } = xrayRequest(service);
  return { config: JSON.parse(config), users };
}

test.each([
  ["vless", { id: "u", flow: "xtls-rprx-vision" }, {}, { vless: { id: "u", flow: "xtls-rprx-vision" } }],
  ["vmess", { id: "u" }, {}, { vmess: { id: "u" } }],
  ["trojan", { password: "p" }, {}, { trojan: { password: "p" } }],
  [
    "shadowsocks",
    { password: "p", method: "aes-128-gcm" },
    {},
    { shadowsocks: { password: "p", method: "aes-128-gcm" } },
  ],
  [
    "shadowsocks",
    { password: "k" },
    { method: "2022-blake3-aes-128-gcm", password: "server" },
    { shadowsocks: { password: "k", method: "2022-blake3-aes-128-gcm" } },
  ],
  ["hysteria", { auth: "a" }, { version: 2 }, { hysteria: { auth: "a" } }],
])("users of %s come apart from their inbound, with %j", (protocol, credential, settings, proxies) => {
  const inbound = { tag: "in", port: 443, protocol, settings: { ...settings, clients: [{ email, ...credential }] } };
  const { config, users } = requestFor(inbound);
  expect(config.inbounds).toEqual([{ ...inbound, settings: { ...settings, clients: [] } }]);
  expect(users).toEqual([expect.objectContaining({ email, inbounds: ["in"] })]);
  expect(users[0]?.proxies).toMatchObject(proxies);
});

test("other protocols stay as they are, and so does everything besides", () => {
  const inbound = { tag: "in", port: 1080, protocol: "socks", settings: { accounts: [{ user: "u", pass: "p" }] } };
  const routing = { rules: [{ outboundTag: "direct", port: 53 }] };
  const { config, users } = requestFor(inbound, {
    routing: JSON.stringify(routing),
    extra:
      '{"dns":{"servers":["1.1.1.1"]},"Policy":{"levels":{"0":{"connIdle":9}},"system":{"statsInboundUplink":false}}}',
  });
  expect(config).toEqual({
    dns: { servers: ["1.1.1.1"] },
    Policy: {
      levels: { 0: { connIdle: 9 } },
      system: { statsInboundUplink: false, statsInboundDownlink: true },
    },
    inbounds: [inbound],
    outbounds: JSON.parse(outbounds),
    routing,
  });
  expect(users).toEqual([]);
});

test("inbounds are counted, but where Xray would count no user of Hysteria then", () => {
  const policyWith = (protocol: string) => requestFor({ tag: "in", protocol }).config.policy;
  expect(policyWith("vless")).toEqual({ system: { statsInboundUplink: true, statsInboundDownlink: true } });
  expect(policyWith("hysteria")).toBeUndefined();
});

test.each([
  [{ inbounds: "[" }, /^services\.xray\.inbounds is not JSON: /],
  [{ inbounds: "{}" }, /^services\.xray\.inbounds must be a list$/],
  [{ inbounds: "[1]" }, /^services\.xray\.inbounds\[0\] must be an object$/],
  [{ inbounds: '[{"protocol":"vless"}]' }, /^services\.xray\.inbounds\[0\]\.tag is missing$/],
  [{ inbounds: '[{"tag":"a","protocol":1}]' }, /^services\.xray\.inbounds\[0\]\.protocol must be a string$/],
  [
    { inbounds: '[{"tag":"a","protocol":"vless","settings":{"clients":[{"email":1}]}}]' },
    /^services\.xray\.inbounds\[0\]\.settings\.clients\[0\]\.email must be a string$/,
  ],
  [{ inbounds: "[]", outbounds: "" }, /^services\.xray\.outbounds is not JSON: /],
  [{ inbounds: "[]", routing: "[]" }, /^services\.xray\.routing must be an object$/],
  [{ inbounds: "[]", extra: '{"API":{}}' }, /^services\.xray\.extra must not have the section API$/],
])("%j is refused, and it says where", (service, message) => {
  const attempt = () => xrayRequest(create(XrayServiceConfigSchema, { outbounds, ...service }));
  expect(attempt).toThrow(ConfigInvalid);
  expect(attempt).toThrow(message);
});
