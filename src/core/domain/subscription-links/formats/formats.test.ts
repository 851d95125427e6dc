import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { Endpoint } from "../endpoint.ts";
import { type FormatName, formats } from "./formats.ts";
import { fileNames, isWireGuard, wireGuardConfig } from "./wireguard/wireguard-config.ts";

const endpoint = (name: string, more: Partial<Endpoint> = {}): Endpoint => ({
  nodeId: 1,
  nodeProtocolId: 1,
  name,
  host: "a.example",
  port: 443,
  draining: false,
  access: { protocol: "vless", id: "11111111-1111-4111-8111-111111111111", flow: "", encryption: "none" },
  transport: { kind: "raw" },
  security: { kind: "none" },
  ...more,
});
const tls = { kind: "tls", sni: "a.example", alpn: [], fingerprint: "", insecure: false } as const;
const trojan = (password: string) => ({ access: { protocol: "trojan", password }, security: tls }) as const;

const clash = (endpoints: Endpoint[]) => parse(formats.clash(endpoints).body);
const singBox = (endpoints: Endpoint[]) => JSON.parse(formats["sing-box"](endpoints).body);
const xray = (endpoints: Endpoint[]) => JSON.parse(formats.xray(endpoints).body);
const links = (endpoints: Endpoint[]) => formats.plain(endpoints).body.split("\n").slice(0, -1);

const oddNames = [
  '"',
  "'",
  "\\",
  "<b>&amp;",
  "a: b",
  "# a",
  "&a *b !c",
  "{a}",
  "[a]",
  "- a",
  "? a",
  "%41",
  "null",
  "1e3",
  "~",
  "🇩🇪 👩‍👩‍👧",
];

test("odd names stay what they are in every document", () => {
  const endpoints = oddNames.map((name) => endpoint(name));
  expect(clash(endpoints).proxies.map(({ name }: { name: string }) => name)).toEqual(oddNames);
  expect(clash(endpoints)["proxy-groups"][0].proxies).toEqual(["Fastest", ...oddNames]);
  expect(parse(formats.clash(endpoints).body, { version: "1.1" })).toEqual(clash(endpoints));
  const outbounds: { tag: string; type: string }[] = singBox(endpoints).outbounds;
  expect(outbounds.flatMap(({ tag, type }) => (type === "vless" ? [tag] : []))).toEqual(oddNames);
  expect(xray(endpoints).map(({ remarks }: { remarks: string }) => remarks)).toEqual(oddNames);
  expect(links(endpoints).map((link) => decodeURIComponent(new URL(link).hash.slice(1)))).toEqual(oddNames);
});

test("whatever texts there are, no document says anything else than they do", () => {
  const special = fc.constantFrom(..."%&#?:@/+=\"'\\{}[],\n\u0085\u2028\ufeff");
  const unit = fc.oneof(special, fc.string({ unit: "binary", minLength: 1, maxLength: 1 }));
  const text = fc.string({ unit, maxLength: 12 });
  fc.assert(
    fc.property(text, text, text, (password, path, host) => {
      const given = endpoint("n", { ...trojan(password), transport: { kind: "ws", path, host, earlyDataBytes: 0 } });
      const [proxy] = clash([given]).proxies;
      expect(proxy).toMatchObject({ password, "ws-opts": { path } });
      expect(proxy["ws-opts"].headers?.Host ?? "").toBe(host);
      expect(parse(formats.clash([given]).body, { version: "1.1" }).proxies).toEqual([proxy]);
      expect(singBox([given]).outbounds[2]).toMatchObject({ password, transport: { path } });
      expect(xray([given])[0].outbounds[0]).toMatchObject({ settings: { servers: [{ password }] } });
      const [link = "", ...others] = links([given]);
      expect(others).toEqual([]);
      const { username, searchParams } = new URL(link);
      const told = [decodeURIComponent(username), searchParams.get("path") ?? "", searchParams.get("host") ?? ""];
      expect(told).toEqual([password, path, host]);
    }),
  );
});

describe("links", () => {
  const only = (more: Partial<Endpoint>) => links([endpoint("n #1", more)])[0];

  test.each<[string, Partial<Endpoint>, string | undefined]>([
    [
      "VLESS",
      {},
      "vless://11111111-1111-4111-8111-111111111111@a.example:443?encryption=none&type=tcp&security=none#n%20%231",
    ],
    [
      "an IPv6 address",
      { host: "2001:db8::1", ...trojan("p") },
      "trojan://p@[2001:db8::1]:443?type=tcp&security=tls&sni=a.example#n%20%231",
    ],
    [
      "Shadowsocks",
      { access: { protocol: "shadowsocks", method: "aes-128-gcm", password: "p:/?w", udp: true } },
      `ss://${Buffer.from("aes-128-gcm:p:/?w").toString("base64url")}@a.example:443#n%20%231`,
    ],
    [
      "Shadowsocks 2022",
      { access: { protocol: "shadowsocks", method: "2022-blake3-aes-128-gcm", password: "a+/=:b+/=", udp: true } },
      "ss://2022-blake3-aes-128-gcm:a%2B%2F%3D%3Ab%2B%2F%3D@a.example:443#n%20%231",
    ],
    [
      "Hysteria 2",
      { access: { protocol: "hysteria2", auth: "a@b", obfs: "o&p" }, security: { ...tls, insecure: true } },
      "hysteria2://a%40b@a.example:443/?sni=a.example&insecure=1&obfs=salamander&obfs-password=o%26p#n%20%231",
    ],
    [
      "MTProto",
      { access: { protocol: "mtproto", secret: "ee00" } },
      "tg://proxy?server=a.example&port=443&secret=ee00",
    ],
    [
      "REALITY",
      {
        ...trojan("p"),
        security: { kind: "reality", sni: "s", fingerprint: "chrome", publicKey: "k", shortId: "", spiderX: "/x" },
      },
      "trojan://p@a.example:443?type=tcp&security=reality&sni=s&fp=chrome&pbk=k&spx=%2Fx#n%20%231",
    ],
  ])("tell %s", (_what, more, link) => expect(only(more)).toBe(link));

  test("tell VMess by JSON in base64", () => {
    const given: Partial<Endpoint> = {
      access: { protocol: "vmess", id: "i" },
      transport: { kind: "ws", path: "/w", host: "h", earlyDataBytes: 2048 },
      security: { ...tls, alpn: ["h2"], fingerprint: "chrome", insecure: true },
    };
    const [scheme, told = ""] = only(given)?.split("://") ?? [];
    expect(scheme).toBe("vmess");
    expect(JSON.parse(Buffer.from(told, "base64").toString())).toEqual({
      ...{ v: "2", ps: "n #1", add: "a.example", port: "443", id: "i", aid: "0", scy: "auto" },
      ...{
        net: "ws",
        type: "none",
        host: "h",
        path: "/w?ed=2048",
        tls: "tls",
        sni: "a.example",
        alpn: "h2",
        fp: "chrome",
      },
      ...{ insecure: "1", allowInsecure: "1" },
    });
  });

  test.each<[string, Partial<Endpoint>]>([
    [
      "VMess over REALITY",
      { security: { kind: "reality", sni: "s", fingerprint: "chrome", publicKey: "k", shortId: "", spiderX: "" } },
    ],
    [
      "VMess with more than XHTTP's usual",
      { transport: { kind: "xhttp", path: "/", host: "", mode: "", extra: { a: 1 } } },
    ],
    ["VMess under masks", { masks: { tcp: [] } }],
    [
      "Shadowsocks within TLS",
      { access: { protocol: "shadowsocks", method: "m", password: "p", udp: true }, security: tls },
    ],
  ])("do not tell %s", (_what, more) => {
    const given = endpoint("n", { access: { protocol: "vmess", id: "i" }, ...more });
    expect(formats.plain([given])).toMatchObject({ body: "", leftOut: [given] });
  });

  test("are the same in base64", () => {
    const endpoints = oddNames.map((name) => endpoint(name));
    const { body } = formats.links(endpoints);
    expect(Buffer.from(body, "base64").toString()).toBe(formats.plain(endpoints).body);
  });
});

describe("WireGuard", () => {
  const access = {
    protocol: "wireguard",
    privateKey: "cHJpdmF0ZQ+/=",
    addresses: ["10.66.0.2/32", "fd66::2/128"],
    serverKey: "c2VydmVy=",
    preSharedKey: "c2hhcmVk=",
    dns: ["1.1.1.1"],
    mtu: 1_380,
    allowedIps: ["0.0.0.0/0", "::/0"],
    keepaliveSeconds: 25,
  } as const;
  const bare = {
    ...access,
    addresses: ["10.66.0.2/32"],
    preSharedKey: "",
    dns: [],
    mtu: undefined,
    keepaliveSeconds: 0,
  } as const;
  const tunnel = (more: Partial<Endpoint> = {}) => {
    const one = endpoint("t #1", { port: 51_820, access, ...more });
    return isWireGuard(one) ? one : expect.fail("it is none of WireGuard");
  };

  const files = (endpoints: Endpoint[]) => [...fileNames([endpoint("other"), ...endpoints]).values()];

  test("is a file as its apps read it, with what is told", () => {
    expect(wireGuardConfig(tunnel({ host: "2001:db8::1" }))).toBe(
      "[Interface]\nPrivateKey = cHJpdmF0ZQ+/=\nAddress = 10.66.0.2/32, fd66::2/128\nDNS = 1.1.1.1\nMTU = 1380\n\n" +
        "[Peer]\nPublicKey = c2VydmVy=\nPresharedKey = c2hhcmVk=\nAllowedIPs = 0.0.0.0/0, ::/0\n" +
        "Endpoint = [2001:db8::1]:51820\nPersistentKeepalive = 25\n",
    );
    expect(wireGuardConfig(tunnel({ access: bare }))).toBe(
      "[Interface]\nPrivateKey = cHJpdmF0ZQ+/=\nAddress = 10.66.0.2/32\n\n" +
        "[Peer]\nPublicKey = c2VydmVy=\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = a.example:51820\n",
    );
  });

  test("is a link as v2rayN and v2rayNG write it", () => {
    expect(links([tunnel(), tunnel({ access: bare, host: "2001:db8::1" })])).toEqual([
      "wireguard://cHJpdmF0ZQ%2B%2F%3D@a.example:51820?publickey=c2VydmVy%3D&presharedkey=c2hhcmVk%3D" +
        "&address=10.66.0.2%2F32%2Cfd66%3A%3A2%2F128&mtu=1380#t%20%231",
      "wireguard://cHJpdmF0ZQ%2B%2F%3D@[2001:db8::1]:51820?publickey=c2VydmVy%3D&address=10.66.0.2%2F32#t%20%231",
    ]);
  });

  test("is an endpoint of sing-box, to be chosen like others", () => {
    const config = singBox([endpoint("v"), tunnel()]);
    expect(config.endpoints).toEqual([
      {
        type: "wireguard",
        tag: "t #1",
        mtu: 1_380,
        address: access.addresses,
        private_key: access.privateKey,
        peers: [
          {
            address: "a.example",
            port: 51_820,
            public_key: access.serverKey,
            pre_shared_key: access.preSharedKey,
            allowed_ips: access.allowedIps,
            persistent_keepalive_interval: 25,
          },
        ],
      },
    ]);
    expect(config.outbounds[0].outbounds).toEqual(["Fastest", "v", "t #1"]);
    const types = config.outbounds.map(({ type }: { type: string }) => type);
    expect(types).toEqual(["selector", "urltest", "vless", "direct"]);
    expect(Object.keys(singBox([endpoint("v")]))).not.toContain("endpoints");
  });

  test("is a proxy of Mihomo, which asks for names through it", () => {
    expect(clash([tunnel()]).proxies).toEqual([
      {
        ...{ name: "t #1", server: "a.example", port: 51_820, type: "wireguard", udp: true },
        ...{ ip: "10.66.0.2/32", ipv6: "fd66::2/128", "private-key": access.privateKey },
        ...{ "public-key": access.serverKey, "pre-shared-key": access.preSharedKey, mtu: 1_380 },
        ...{ "allowed-ips": access.allowedIps, "persistent-keepalive": 25 },
        ...{ "remote-dns-resolve": true, dns: ["1.1.1.1"] },
      },
    ]);
    expect(Object.keys(clash([tunnel({ access: bare })]).proxies[0])).not.toContain("dns");
  });

  test("is an outbound of Xray without a transport", () => {
    const [{ outbounds }] = xray([tunnel({ host: "2001:db8::1" })]);
    expect(outbounds[0]).toEqual({
      tag: "proxy",
      protocol: "wireguard",
      settings: {
        secretKey: access.privateKey,
        address: access.addresses,
        peers: [
          {
            publicKey: access.serverKey,
            preSharedKey: access.preSharedKey,
            endpoint: "[2001:db8::1]:51820",
            allowedIPs: access.allowedIps,
            keepAlive: 25,
          },
        ],
        mtu: 1_380,
        noKernelTun: true,
      },
    });
  });

  test.each([
    ["Frankfurt", "Frankfurt.conf"],
    ["Frankfurt am Main", "Frankfurt-am-Ma.conf"],
    ["Zürich 1", "Zurich-1.conf"],
    ['../"etc"/passwd\n[Peer]', "etc-passwd-Peer.conf"],
    ["-rf", "rf.conf"],
    ["...", "wg-9.conf"],
    ["🇩🇪", "wg-9.conf"],
    ["Франкфурт", "wg-9.conf"],
    ["# a", "a.conf"],
  ])("of the name %j is the file %s", (name, file) => {
    expect(files([tunnel({ name, nodeProtocolId: 9 })])).toEqual([file]);
  });

  test("no two files have the same name, in any case", () => {
    const names = ["fra node number one", "FRA node number two", "fra node number three", "a", "a-105", "A"];
    expect(files(names.map((name, index) => tunnel({ name, nodeProtocolId: 100 + index })))).toEqual([
      "fra-node-number.conf",
      "FRA-node-nu-101.conf",
      "fra-node-nu-102.conf",
      "a.conf",
      "a-105.conf",
      "A-105-2.conf",
    ]);
  });

  test("whatever an endpoint is named, its file is that of a tunnel", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary" }), { maxLength: 5 }), (names) => {
        const made = files(names.map((name, index) => tunnel({ name, nodeProtocolId: index + 1 })));
        for (const file of made) expect(file).toMatch(/^[A-Za-z0-9_=+][A-Za-z0-9_=+.-]{0,14}\.conf$/);
        expect(new Set(made.map((file) => file.toLowerCase())).size).toBe(names.length);
      }),
    );
  });
});

test("MTProto is for Telegram alone", () => {
  const given = endpoint("t", { access: { protocol: "mtproto", secret: "dd" } });
  for (const name of ["clash", "sing-box", "xray"] as const) expect(formats[name]([given]).leftOut).toEqual([given]);
  expect(formats.links([given]).leftOut).toEqual([]);
});

test("Xray gets no endpoint whose certificate it would have to take on trust unseen", () => {
  const unseen = endpoint("u", { security: { ...tls, insecure: true } });
  const certificate = { sha256: "ab", pem: "", namesServer: true };
  const seen = endpoint("s", { security: { ...tls, insecure: true, certificate } });
  const { body, leftOut } = formats.xray([unseen, seen]);
  expect(leftOut).toEqual([unseen]);
  expect(body).not.toContain("allowInsecure");
  expect(JSON.parse(body)[0].outbounds[0].streamSettings.tlsSettings.pinnedPeerCertSha256).toBe("ab");
});

test("datagrams of VMess are told to go as Xray's own clients send them", () => {
  const given = [endpoint("v", { access: { protocol: "vmess", id: "11111111-1111-4111-8111-111111111111" } })];
  expect(clash(given).proxies).toMatchObject([{ type: "vmess", udp: true, "packet-encoding": "xudp" }]);
  expect(singBox(given).outbounds[2]).toMatchObject({ type: "vmess", packet_encoding: "xudp" });
});

test("nothing chooses a node that drains by itself while there is another", () => {
  const chosen = (endpoints: Endpoint[]) => [
    clash(endpoints)["proxy-groups"][1].proxies,
    singBox(endpoints).outbounds[1].outbounds,
  ];
  expect(chosen([endpoint("a"), endpoint("b", { draining: true })])).toEqual([["a"], ["a"]]);
  expect(chosen([endpoint("b", { draining: true })])).toEqual([["b"], ["b"]]);
});

test("where there is no way, none leads past it", () => {
  expect(clash([])).toMatchObject({ proxies: [], "proxy-groups": [{ name: "Proxy", proxies: ["REJECT"] }] });
  expect(singBox([]).route.rules.at(-1)).toEqual({ action: "reject" });
  expect(xray([])).toEqual([]);
  expect(formats.links([]).body).toBe("");
});

test.each<[FormatName, string]>([
  ["links", "text/plain; charset=utf-8"],
  ["plain", "text/plain; charset=utf-8"],
  ["clash", "application/yaml; charset=utf-8"],
  ["sing-box", "application/json; charset=utf-8"],
  ["xray", "application/json; charset=utf-8"],
])("%s is sent as %s", (name, contentType) => expect(formats[name]([]).contentType).toBe(contentType));
