import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { publicKeyOf } from "../wireguard/wireguard-keys.ts";
import { makeLinkCredential } from "./link-credentials.ts";
import { servedProtocols } from "./protocols/settings.ts";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test.each([
  ["vless", uuid],
  ["vmess", uuid],
  ["trojan", /^[\w-]{32}$/],
  ["hysteria2", /^[\w-]{32}$/],
  ["shadowsocks", /^[A-Za-z0-9+/]{43}=$/],
  ["mtproto", /^[0-9a-f]{32}$/],
  ["wireguard", /^[A-Za-z0-9+/]{43}=$/],
] as const)("a credential of %s has the form that its engine takes", (protocol, form) => {
  const { uuid: id, secret } = makeLinkCredential(protocol, randomBytes);
  expect(id).toMatch(uuid);
  expect(secret).toMatch(form);
});

test("the public key of WireGuard belongs to the private one; others have none", () => {
  const { secret, publicKey } = makeLinkCredential("wireguard", randomBytes);
  expect(publicKeyOf(secret)).toBe(publicKey);
  expect(makeLinkCredential("trojan", randomBytes).publicKey).toBe("");
});

test("no two credentials are the same", () => {
  const all = servedProtocols.flatMap((protocol) =>
    Array.from({ length: 50 }, () => makeLinkCredential(protocol, randomBytes)),
  );
  expect(new Set(all.map((each) => each.uuid)).size).toBe(all.length);
  expect(new Set(all.map(({ secret }) => secret)).size).toBe(all.length);
});
