import { expect, test } from "vitest";
import { collide, type Listening } from "./ports.ts";

const at = (protocol: Listening["protocol"], more: Partial<Listening> = {}): Listening => ({
  protocol,
  listen: "",
  port: 443,
  settings: {},
  ...more,
});
const stream = (streamSettings: object) => ({ settings: { streamSettings } });

test.each<[string, Listening, Listening, boolean]>([
  ["two over TCP", at("vless"), at("mtproto"), true],
  ["two on other ports", at("vless"), at("vless", { port: 444 }), false],
  ["TCP and QUIC", at("vless"), at("hysteria2"), false],
  ["TCP and mKCP", at("vless"), at("vmess", stream({ network: "kcp" })), false],
  ["QUIC and mKCP", at("hysteria2"), at("vmess", stream({ network: "mkcp" })), true],
  [
    "TCP and XHTTP over HTTP/3",
    at("vless"),
    at("vless", stream({ network: "xhttp", tlsSettings: { alpn: ["h3"] } })),
    false,
  ],
  ["TCP and XHTTP", at("vless"), at("vless", stream({ network: "xhttp", tlsSettings: { alpn: ["h2", "h3"] } })), true],
  [
    "QUIC and Shadowsocks over both",
    at("hysteria2"),
    at("shadowsocks", { settings: { settings: { network: "tcp,udp" } } }),
    true,
  ],
  ["QUIC and Shadowsocks over TCP", at("hysteria2"), at("shadowsocks"), false],
  ["two addresses", at("vless", { listen: "192.0.2.1" }), at("vless", { listen: "192.0.2.2" }), false],
  ["one address twice", at("vless", { listen: "2001:DB8::1" }), at("vless", { listen: "2001:db8::1" }), true],
  ["all addresses and one", at("vless", { listen: "0.0.0.0" }), at("vless", { listen: "192.0.2.2" }), true],
])("%s: %#", (_what, one, other, collides) => {
  expect(collide(one, other)).toBe(collides);
  expect(collide(other, one)).toBe(collides);
});
