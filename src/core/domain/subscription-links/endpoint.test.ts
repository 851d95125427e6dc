import { describe, expect, test } from "vitest";
import { link, on, only, protocol, view } from "../../../../test/support/viewed-subscription.ts";
import { createSelfSignedCertificate } from "../../../platform/identity/certificate.ts";
import { publicKeyOf } from "../wireguard/wireguard-keys.ts";
import { createEndpointReader } from "./endpoints.ts";

const selfSigned = (...hostNames: string[]) =>
  createSelfSignedCertificate({ hostNames, addresses: [], now: new Date() });
const tlsWith = (hostNames: string[], more: object = {}) => {
  const { cert, key } = selfSigned(...hostNames);
  return { certificates: [{ certificate: cert.trim().split("\n"), key: key.trim().split("\n") }], ...more };
};
const overTls = (tlsSettings: object) => ({ streamSettings: { security: "tls", tlsSettings } });

const secret = "0123456789ABCDEF0123456789abcdef";
const inHex = secret.toLowerCase();

describe("WireGuard", () => {
  const [privateKey, own] = [1, 2].map((byte) => Buffer.alloc(32, byte).toString("base64")) as [string, string];
  const settings = {
    privateKey,
    preSharedKey: own,
    addressPools: ["10.66.0.0/16", "fd66::/64"],
    dns: ["1.1.1.1"],
    mtu: 1_380,
    allowedIps: ["0.0.0.0/0", "::/0"],
    persistentKeepalive: 25,
  };
  const of = (more: object, numbers = new Map([[6, 2]]), secret = own) => {
    const tunnel = protocol(6, { protocol: "wireguard", port: 51_820 }, { ...settings, ...more });
    const links = [link("wireguard", { secret })];
    return createEndpointReader().endpointsOf({ ...view([tunnel], links), tunnelNumbers: numbers });
  };

  test("is told with the user's own key and addresses, and the public key of the server", () => {
    const [endpoint, ...others] = of({});
    expect(others).toEqual([]);
    expect(endpoint).toMatchObject({ host: "fra.example.org", port: 51_820 });
    expect(endpoint?.access).toEqual({
      protocol: "wireguard",
      privateKey: own,
      addresses: ["10.66.0.2/32", "fd66::2/128"],
      serverKey: publicKeyOf(privateKey),
      preSharedKey: own,
      dns: ["1.1.1.1"],
      mtu: 1_380,
      allowedIps: ["0.0.0.0/0", "::/0"],
      keepaliveSeconds: 25,
    });
    expect(JSON.stringify(endpoint)).not.toContain(privateKey);
  });

  test("is left out for who has no address, and where a key or a range is none", () => {
    expect(of({}, new Map())).toEqual([]);
    expect(of({}, new Map([[7, 2]]))).toEqual([]);
    expect(of({}, undefined, "no key")).toEqual([]);
    expect(of({ privateKey: "no key" })).toEqual([]);
    expect(of({ addressPools: ["10.66.0.0"] })).toEqual([]);
  });

  test("has no resolver and no range that is none, whatever is stored", () => {
    const lines = "1.1.1.1\nPostUp = reboot";
    const [endpoint] = of({ dns: [lines, "1.0.0.1"], allowedIps: ["::/0", lines], preSharedKey: lines, mtu: lines });
    const told = { dns: ["1.0.0.1"], allowedIps: ["::/0"], preSharedKey: "", mtu: undefined };
    expect(endpoint?.access).toMatchObject(told);
  });
});

describe("links say otherwise:", () => {
  const of = (linkSettings: object, settings: object, kind = "vless") =>
    only([{ ...protocol(1, { protocol: kind }, settings), linkSettings: JSON.stringify(linkSettings) }], [link(kind)]);

  test.each<[object, object]>([
    [{}, { host: "fra.example.org", port: 1001 }],
    [
      { host: "cdn.example.org", port: 8443 },
      { host: "cdn.example.org", port: 8443 },
    ],
    [
      { host: "[2001:db8::1]", port: "443" },
      { host: "2001:db8::1", port: 443 },
    ],
    [
      { host: 7, port: 0 },
      { host: "fra.example.org", port: 1001 },
    ],
    [{ port: 65_536 }, { port: 1001 }],
    [{ host: "bücher.example" }, { host: "xn--bcher-kva.example" }],
    [{ host: "a.example/#" }, { host: "fra.example.org" }],
  ])("%j is reached by %j", (linkSettings, expected) => expect(of(linkSettings, {})).toMatchObject(expected));

  test.each<[object, object]>([
    [{}, { sni: "fra.example.org", alpn: [], fingerprint: "", insecure: false }],
    [{ sni: "cdn.example.org" }, { sni: "cdn.example.org" }],
    [{ alpn: ["h2", 1, ""] }, { alpn: ["h2"] }],
    [{ alpn: "h2,http/1.1" }, { alpn: ["h2", "http/1.1"] }],
    [{ fingerprint: "Firefox" }, { fingerprint: "firefox" }],
    [{ fingerprint: "a fingerprint that stops programs" }, { fingerprint: "" }],
    [{ allowInsecure: true }, { insecure: true }],
    [{ allowInsecure: "true" }, { insecure: false }],
  ])("%j is secured by %j", (linkSettings, expected) => {
    const certificates = [{ certificateFile: "/c", keyFile: "/k" }];
    expect(of(linkSettings, overTls({ certificates })).security).toMatchObject(expected);
  });

  const over = (network: string, settings: object) => ({
    streamSettings: { network, [`${network}Settings`]: settings },
  });
  const both = { path: "p", hostHeader: "h.example" };
  test.each<[string, object, object, object]>([
    ["ws", { path: "/w?ed=2048&a=b", host: "x" }, {}, { kind: "ws", path: "/w?a=b", host: "x", earlyDataBytes: 2048 }],
    ["ws", { headers: { hOST: "x" } }, {}, { kind: "ws", path: "/", host: "x", earlyDataBytes: 0 }],
    ["ws", { path: "/w?ed=2048", host: "x" }, both, { kind: "ws", path: "/p", host: "h.example", earlyDataBytes: 0 }],
    ["httpupgrade", { path: "u" }, {}, { kind: "httpupgrade", path: "/u", host: "" }],
    ["httpupgrade", { path: "u" }, both, { kind: "httpupgrade", path: "/p", host: "h.example" }],
    ["grpc", { serviceName: "s" }, {}, { kind: "grpc", serviceName: "s", authority: "", multi: false }],
    ["grpc", { multiMode: true }, both, { kind: "grpc", serviceName: "p", authority: "h.example", multi: true }],
    ["xhttp", { path: "/x", xmux: {} }, {}, { kind: "xhttp", path: "/x", host: "", mode: "", extra: { xmux: {} } }],
    [
      "xhttp",
      { mode: "packet-up", extra: { a: 1, scMaxBufferedPosts: 3 }, noSSEHeader: true },
      both,
      { kind: "xhttp", path: "/p", host: "h.example", mode: "packet-up", extra: { a: 1 } },
    ],
    ["kcp", { mtu: 1300, seed: 1 }, both, { kind: "kcp", mtu: 1300, tti: undefined }],
    ["raw", { header: { type: "none" } }, both, { kind: "raw" }],
    ["raw", { header: { type: "http" } }, {}, { kind: "raw", http: { hosts: [], paths: ["/"] } }],
    [
      "raw",
      { header: { type: "http", request: { path: ["/a", "/b"], headers: { Host: ["x", "y"] } } } },
      {},
      { kind: "raw", http: { hosts: ["x"], paths: ["/a", "/b"] } },
    ],
    ["raw", { header: { type: "http" } }, both, { kind: "raw", http: { hosts: ["h.example"], paths: ["p"] } }],
  ])("%s with %j and %j is %j", (network, settings, linkSettings, transport) => {
    expect(of(linkSettings, over(network, settings)).transport).toEqual(transport);
  });
});

test.each<[object, string]>([
  [{ modes: ["tls"], tlsDomains: ["a.io"] }, `ee${inHex}622e696f`],
  [{ tlsDomains: ["a.io"] }, `ee${inHex}622e696f`],
  [{}, `dd${inHex}`],
])("MTProto with %j pretends to be the sni of links only where its server pretends", (settings, told) => {
  const given = protocol(1, { protocol: "mtproto", linkSettings: '{"sni":"b.io"}' }, settings);
  expect(only([given], [link("mtproto", { secret })]).access).toEqual({ protocol: "mtproto", secret: told });
});

describe("a certificate", () => {
  const security = (tlsSettings: object, linkSettings = {}, host = "fra.example.org") => {
    const given = protocol(1, { linkSettings: JSON.stringify(linkSettings) }, overTls(tlsSettings));
    return only([on({ host }, given)]).security;
  };

  test("that its server has signed itself is told to clients, unless links say that they can trust it", () => {
    const told = security(tlsWith(["fra.example.org"]));
    expect(told).toMatchObject({ insecure: true, certificate: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) } });
    expect(told).toMatchObject({ certificate: { namesServer: true } });
    const trusted = security(tlsWith(["fra.example.org"]), { allowInsecure: false });
    expect(trusted).toMatchObject({ insecure: false });
    expect(trusted).not.toHaveProperty("certificate");
  });

  test("tells what to ask a server for that is reached by an address", () => {
    expect(security(tlsWith(["*.wild.example", "a.example"]), {}, "192.0.2.1")).toMatchObject({ sni: "a.example" });
    expect(security(tlsWith(["a.example"]), {}, "b.example")).toMatchObject({
      sni: "b.example",
      certificate: { namesServer: false },
    });
    expect(security(tlsWith(["a.example"], { serverName: "c.example" }), {}, "192.0.2.1")).toMatchObject({
      sni: "c.example",
    });
    expect(security({ certificates: [{ certificate: ["nonsense"] }, null, 7] }, {}, "2001:db8::1")).toMatchObject({
      sni: "2001:db8::1",
    });
  });
});

test("half characters in settings stop no document", () => {
  const wsSettings = { path: "/\ud83d", host: "\udc00" };
  const endpoint = only([protocol(1, {}, { streamSettings: { network: "ws", wsSettings } })]);
  expect(endpoint.transport).toMatchObject({ path: "/\ufffd", host: "\ufffd" });
});

test("a server that is reached by an address of others keeps the name of its node, also in HTTP", () => {
  const settings = { streamSettings: { network: "ws", security: "tls", tlsSettings: {} } };
  const endpoint = only([protocol(1, { linkSettings: '{"host":"192.0.2.1"}' }, settings)]);
  expect(endpoint).toMatchObject({
    host: "192.0.2.1",
    security: { sni: "fra.example.org" },
    transport: { host: "fra.example.org" },
  });
});

test("a name that is none costs no endpoint", () => {
  const settings = overTls(tlsWith(["a.example"]));
  const endpoint = only([protocol(1, { linkSettings: '{"sni":"a\\u0000b"}' }, settings)]);
  expect(endpoint.security).toMatchObject({ certificate: { namesServer: false } });
});

test("REALITY is told by its public key, never by its private one", () => {
  const realitySettings = {
    privateKey: "GMqDrZWDg3UAlVEN6jmFsiF2D9pPR4Dr4qRNTg6ZAHA",
    serverNames: ["one.example", "two.example"],
    shortIds: ["", "ab"],
    spiderX: "no path",
  };
  const endpoint = only([protocol(1, {}, { streamSettings: { security: "reality", realitySettings } })]);
  expect(endpoint.security).toEqual({
    kind: "reality",
    sni: "one.example",
    fingerprint: "chrome",
    publicKey: expect.stringMatching(/^[\w-]{43}$/),
    shortId: "",
    spiderX: "",
  });
  expect(JSON.stringify(endpoint)).not.toContain(realitySettings.privateKey);
});

test.each<[string, object, string, object]>([
  ["vless", {}, "", { id: link("").uuid, flow: "", encryption: "none" }],
  ["vless", { settings: { flow: "xtls-rprx-vision" } }, "x", { id: "x", flow: "xtls-rprx-vision" }],
  ["vmess", {}, "", { id: link("").uuid }],
  ["trojan", {}, "pass word", { password: "pass word" }],
  ["shadowsocks", {}, "p", { method: "chacha20-ietf-poly1305", password: "p", udp: false }],
  [
    "shadowsocks",
    { settings: { method: "chacha20-poly1305", network: "tcp,udp" } },
    "p",
    { method: "chacha20-ietf-poly1305", udp: true },
  ],
  [
    "shadowsocks",
    { settings: { method: "2022-blake3-aes-128-gcm", password: "AAAAAAAAAAAAAAAAAAAAAA==" } },
    "AQEBAQEBAQEBAQEBAQEBAQ==",
    { password: "AAAAAAAAAAAAAAAAAAAAAA==:AQEBAQEBAQEBAQEBAQEBAQ==" },
  ],
  ["hysteria2", {}, "a", { auth: "a", obfs: "" }],
  [
    "hysteria2",
    { streamSettings: { finalmask: { udp: [{ type: "salamander", settings: { password: "o" } }] } } },
    "a",
    { auth: "a", obfs: "o" },
  ],
  ["mtproto", { modes: ["classic"] }, secret, { secret: inHex }],
  ["mtproto", { modes: ["classic", "secure"] }, secret, { secret: `dd${inHex}` }],
  ["mtproto", {}, secret, { secret: `dd${inHex}` }],
  ["mtproto", { modes: ["secure", "tls"], tlsDomains: ["a.io", "b.io"] }, secret, { secret: `ee${inHex}612e696f` }],
])("who uses %s with %j and the secret %j is known by %j", (kind, settings, own, access) => {
  const endpoint = only([protocol(1, { protocol: kind }, settings)], [link(kind, { secret: own })]);
  expect(endpoint.access).toMatchObject({ protocol: kind, ...access });
});

test("what Xray alone knows is told apart", () => {
  const finalmask = { udp: [{ type: "salamander" }, { type: "noise" }], tcp: [], quicParams: { debug: true } };
  const endpoint = only(
    [protocol(1, { protocol: "hysteria2" }, { streamSettings: { finalmask } })],
    [link("hysteria2")],
  );
  expect(endpoint).toMatchObject({ masks: { udp: finalmask.udp }, access: { obfs: "" } });
  expect(endpoint.masks).not.toHaveProperty("quicParams");
});
