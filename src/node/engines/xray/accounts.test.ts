import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { type ProxySchema, UserSchema } from "../../../../gen/service/node_pb.ts";
import { AccountSchema as ShadowsocksSchema } from "../../../../gen/xray/proxy/shadowsocks/account_pb.ts";
import { AccountSchema as VlessSchema } from "../../../../gen/xray/proxy/vless/account_pb.ts";
import { type Account, createAccountKinds, shadowsocks2022Key } from "./accounts.ts";
import type { JsonObject } from "./json-object.ts";

const id = "66ad4540-b58c-4ad2-9926-ea63445a9b57";

function kind(protocol: string, settings: JsonObject = {}) {
  const found = createAccountKinds()(protocol, settings);
  if (found === undefined) throw new Error(`${protocol} has no users`);
  return found;
}

const userWith = (proxies: MessageInitShape<typeof ProxySchema>) => create(UserSchema, { email: "42", proxies });

function accountOf(protocol: string, settings: JsonObject, proxies: MessageInitShape<typeof ProxySchema>): Account {
  const account = kind(protocol, settings).account(userWith(proxies));
  if (typeof account === "string") throw new Error(account);
  return account;
}

describe("an account", () => {
  test.each([
    ["vless", {}, { vless: { id } }, { id, flow: "" }, "xray.proxy.vless.Account"],
    ["VMess", {}, { vmess: { id } }, { id }, "xray.proxy.vmess.Account"],
    ["trojan", {}, { trojan: { password: "p" } }, { password: "p" }, "xray.proxy.trojan.Account"],
    [
      "shadowsocks",
      {},
      { shadowsocks: { password: "p", method: "AES-256-GCM" } },
      { password: "p", method: "aes-256-gcm" },
      "xray.proxy.shadowsocks.Account",
    ],
    [
      "shadowsocks",
      { method: "2022-blake3-aes-128-gcm" },
      { shadowsocks: { password: "try a random string", method: "x" } },
      { password: "/RQnsN26etH/ZA3ciYErfw==" },
      "xray.proxy.shadowsocks_2022.Account",
    ],
    ["hysteria", { version: 2 }, { hysteria: { auth: "a" } }, { auth: "a" }, "xray.proxy.hysteria.account.Account"],
  ])(
    "on a %s inbound with %j is a client in the config and a message in the API",
    (protocol, settings, proxies, client, type) => {
      const account = accountOf(protocol, settings, proxies);
      expect(kind(protocol, settings).client(account)).toEqual({ ...client, email: "42", level: 0 });
      expect(kind(protocol, settings).message(account).type).toBe(type);
    },
  );

  test.each([
    ["vless", {}, { vless: { id: "x" } }, "vless id is not a UUID"],
    ["vless", {}, { vless: { id: `{${id}` } }, "vless id is not a UUID"],
    ["vless", {}, { vless: {} }, "no vless id"],
    ["vless", {}, { vless: { id, flow: "xtls-rprx-direct" } }, "vless flow is unknown"],
    ["vless", {}, { vmess: { id } }, "no vless id"],
    ["vmess", {}, { vmess: { id: `${id}0` } }, "vmess id is not a UUID"],
    ["vmess", {}, {}, "no vmess id"],
    ["trojan", {}, { trojan: {} }, "no trojan password"],
    ["shadowsocks", {}, { shadowsocks: { method: "aes-128-gcm" } }, "no shadowsocks password"],
    ["shadowsocks", {}, { shadowsocks: { password: "p" } }, "shadowsocks cipher is unknown"],
    ["shadowsocks", {}, { shadowsocks: { password: "p", method: "none" } }, "shadowsocks cipher is unknown"],
    ["shadowsocks", {}, { shadowsocks: { password: "p", method: "constructor" } }, "shadowsocks cipher is unknown"],
    ["shadowsocks", { method: "2022-blake3-aes-256-gcm" }, { shadowsocks: {} }, "no shadowsocks password"],
    ["hysteria", {}, { hysteria: {} }, "no hysteria password"],
  ])("cannot be on a %s inbound with %j from %j: %s", (protocol, settings, proxies, reason) => {
    expect(kind(protocol, settings).account(userWith(proxies))).toBe(reason);
  });

  test.each([id, id.toUpperCase(), `{${id}}`, `urn:uuid:${id}`, `URN:UUID:${id}`, id.replaceAll("-", "")])(
    "has the same id from %s",
    (spelling) => {
      expect(accountOf("vless", {}, { vless: { id: spelling } }).secret).toBe(id);
      expect(accountOf("vmess", {}, { vmess: { id: spelling } }).secret).toBe(id);
    },
  );

  test.each([
    ["", "", ""],
    ["", "xtls-rprx-vision", "xtls-rprx-vision"],
    ["xtls-rprx-vision", "", "xtls-rprx-vision"],
    ["xtls-rprx-vision", "unknown to Xray", "xtls-rprx-vision"],
  ])("has, with inbound flow %j and its own %j, the flow %j in config and API", (inboundFlow, flow, expected) => {
    const settings = { flow: inboundFlow, testseed: [1, 2, 3, 4] };
    const account = accountOf("vless", settings, { vless: { id, flow } });
    expect(kind("vless", settings).client(account).flow).toBe(expected);
    const message = fromBinary(VlessSchema, kind("vless", settings).message(account).value);
    expect(message).toMatchObject({ id, flow: expected, testseed: [1, 2, 3, 4] });
  });

  test.each([
    ["aes-128-gcm", 5],
    ["aes-256-gcm", 6],
    ["chacha20-poly1305", 7],
    ["chacha20-ietf-poly1305", 7],
    ["xchacha20-poly1305", 8],
    ["xchacha20-ietf-poly1305", 8],
  ])("of cipher %s has the number %i in the API", (method, cipherType) => {
    const account = accountOf("shadowsocks", {}, { shadowsocks: { password: "p", method } });
    expect(fromBinary(ShadowsocksSchema, kind("shadowsocks").message(account).value)).toMatchObject({ cipherType });
  });

  test("is found by a VLESS id without the bytes that name a route", () => {
    const [a, b, c] = ["4ad2", "0001", "4ad2"].map((group, index) =>
      accountOf("vless", {}, { vless: { id: `66ad4540-b58c-${group}-9926-ea63445a9b5${index === 2 ? 8 : 7}` } }),
    );
    const identities = [a, b, c].map((account) => account && kind("vless").identity(account));
    expect(identities[0]).toBe(identities[1]);
    expect(identities[0]).not.toBe(identities[2]);
    const likenesses = [a, b, c].map((account) => account && kind("vless").likeness(account));
    expect(likenesses[0]).toBe(likenesses[1]);
    expect(likenesses[0]).not.toBe(likenesses[2]);
  });
});

test.each([
  ["the vector for AES-128", "try a random string", 16, "/RQnsN26etH/ZA3ciYErfw=="],
  ["the vector for AES-256", "try a random string", 32, "/RQnsN26etH/ZA3ciYErf0VGu5BsD9dbX/05XP7cQzY="],
  ["an empty password", "", 16, "47DEQpj8HBSa+/TImW+5JA=="],
  ["a key of 16 bytes", "AAECAwQFBgcICQoLDA0ODw==", 16, "AAECAwQFBgcICQoLDA0ODw=="],
  ["a key of 16 bytes for AES-256", "AAECAwQFBgcICQoLDA0ODw==", 32, "MzuvnqDkNq3E46Aseo86eEnCXD6X/d3qzkHr7ct9fqg="],
  ["base64 without its padding", "AAECAwQFBgcICQoLDA0ODw", 16, "XSYR1aTdK0Cyd9/bXs9bSQ=="],
] as const)("41. a Shadowsocks-2022 key is made of %s", (_what, password, keyBytes, key) => {
  const made = shadowsocks2022Key(password, keyBytes);
  expect(Buffer.from(made, "base64")).toHaveLength(keyBytes);
  expect(made).toBe(key);
});

test("inbounds whose users look the same share one kind", () => {
  const kindOf = createAccountKinds();
  expect(kindOf("vless", { decryption: "none" })).toBe(kindOf("VLESS", { Flow: null }));
  expect(kindOf("vless", { flow: "xtls-rprx-vision" })).not.toBe(kindOf("vless", {}));
  expect(kindOf("shadowsocks", { method: "aes-128-gcm" })).toBe(kindOf("shadowsocks", {}));
  expect(kindOf("shadowsocks", { method: "2022-blake3-aes-128-gcm" })).not.toBe(kindOf("shadowsocks", {}));
});
