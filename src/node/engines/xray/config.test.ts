import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ConfigRefused } from "../engine-error.ts";
import { readXrayConfig } from "./config.ts";
import type { JsonObject } from "./json-object.ts";

const read = (config: unknown, excludeInbounds: string[] = []) =>
  readXrayConfig(typeof config === "string" ? config : JSON.stringify(config), {
    excludeInbounds,
    apiSocket: "/run/api.sock",
  });

/** The document that Xray gets, with these clients on every inbound. */
// biome-ignore lint/suspicious/noExplicitAny: a tree whose shape each test knows
function patched(config: unknown, clients: JsonObject[] = [], excludeInbounds: string[] = []): any {
  return JSON.parse([...read(config, excludeInbounds).render(() => clients)].join(""));
}

const vless = { tag: "v", protocol: "vless", port: 1, settings: { decryption: "none" } };
const ss2022 = {
  tag: "s",
  protocol: "shadowsocks",
  port: 2,
  settings: { method: "2022-blake3-aes-128-gcm", password: "k" },
};

describe("a config", () => {
  test("keeps what nobody knows, at every level", () => {
    const inbound = { ...vless, allocate: { x: 1 }, settings: { decryption: "none", fallbacks: [{ dest: 80 }] } };
    const rule = { webhook: { url: "u" }, outboundTag: "o" };
    const document = patched({
      geodata: { cron: "x" },
      fakedns: [{ ipPool: "198.18.0.0/15" }],
      inbounds: [inbound],
      routing: { domainMatcher: "mph", rules: [rule] },
    });
    expect(document).toMatchObject({ geodata: { cron: "x" }, fakedns: [{ ipPool: "198.18.0.0/15" }] });
    expect(document.inbounds[1]).toEqual({ ...inbound, settings: { ...inbound.settings, clients: [] } });
    expect(document.routing).toMatchObject({ domainMatcher: "mph" });
    expect(document.routing.rules[1]).toEqual(rule);
  });

  test.each([
    ["no JSON", "{", /^the config is not valid JSON: /],
    ["JSON without a bottom", `{"x":${"[".repeat(50_000)}${"]".repeat(50_000)}}`, /^the config is nested too deeply$/],
    ["a list", [], /^the config must be an object, not a list$/],
    ["inbounds that are no list", { inbounds: {} }, /^inbounds must be a list, not an object$/],
    ["an inbound that is no object", { inbounds: [vless, 3] }, /^inbounds\[1\] must be an object, not a number$/],
    ["a tag that is no string", { inbounds: [{ tag: 1 }] }, /^inbounds\[0\]\.tag must be a string, not a number$/],
    ["settings that are no object", { inbounds: [{ ...vless, settings: [] }] }, /^inbounds\[0\]\.settings must be an/],
    ["one tag twice", { inbounds: [vless, vless] }, /^inbounds\[1\]\.tag "v" occurs twice$/],
    ["an outbound's tag twice", { outbounds: [{ tag: "a" }, { tag: "a" }] }, /^outbounds\[1\]\.tag "a" occurs twice$/],
    ["a rule that is no object", { routing: { rules: [null] } }, /^routing\.rules\[0\] must be an object, not null$/],
    ["policy levels that are a list", { policy: { levels: [] } }, /^policy\.levels must be an object, not a list$/],
    ["a level that is a text", { policy: { levels: { 0: "x" } } }, /^policy\.levels\["0"\] must be an object/],
    ["a log that is a text", { log: "x" }, /^log must be an object, not a string$/],
    ["the API's tag taken", { outbounds: [{ tag: "API" }] }, /^outbounds\[0\]\.tag "API" is the tag of the API$/],
  ])("with %s is refused, saying where", (_what, config, text) => {
    expect(() => read(config)).toThrow(ConfigRefused);
    expect(() => read(config)).toThrow(text);
  });

  test("is read with keys in any case, the last of several spellings counting, as Xray does", () => {
    const document = patched({
      INBOUNDS: [{ Tag: "v", Protocol: "VLESS", Settings: { Clients: [{ id: "admin" }], Decryption: "none" } }],
      Policy: { Levels: { 0: { StatsUserUplink: false } } },
      log: { loglevel: "error" },
      Log: { LogLevel: "debug" },
    });
    expect(document.inbounds[1].settings).toEqual({ clients: [], Decryption: "none" });
    expect(document.policy.levels["0"]).toEqual({ statsUserUplink: true, statsUserDownlink: true });
    expect(document.log).toEqual({ LogLevel: "debug", access: "", error: "" });
    expect(Object.keys(document)).not.toContain("Log");
    expect(Object.keys(document)).not.toContain("INBOUNDS");
  });
});

describe("the API", () => {
  test("is led to by the first inbound and the first rule, over a unix socket of this user alone", () => {
    const document = patched({ inbounds: [vless], routing: { rules: [{ outboundTag: "o" }] } });
    expect(document.inbounds[0]).toEqual({
      tag: "API_INBOUND",
      listen: "/run/api.sock,0600",
      protocol: "dokodemo-door",
      settings: { address: "127.0.0.1", port: 1, network: "tcp,unix" },
    });
    expect(document.routing.rules).toEqual([
      { type: "field", inboundTag: ["API_INBOUND"], outboundTag: "API" },
      { outboundTag: "o" },
    ]);
  });

  test.each([
    ["none", undefined, "API", ["HandlerService", "LoggerService", "StatsService", "RoutingService"]],
    [
      "one that an admin has, with a service that Xray knows and one that it does not",
      { tag: "api", listen: "0.0.0.0:1", services: ["reflectionservice", "StatsService", "NoService"] },
      "api",
      ["HandlerService", "LoggerService", "StatsService", "RoutingService", "ReflectionService"],
    ],
    [
      "one that asks for the observatory's service without an observatory, which would crash Xray",
      { services: ["ObservatoryService"] },
      "API",
      ["HandlerService", "LoggerService", "StatsService", "RoutingService"],
    ],
  ])("is merged with %s", (_what, api, tag, services) => {
    const document = patched(api === undefined ? {} : { api });
    expect(document.api).toEqual({ tag, services });
    expect(document.routing.rules[0].outboundTag).toBe(tag);
  });

  test.each(["observatory", "burstObservatory"])("tells what %s measures", (name) => {
    expect(patched({ [name]: {} }).api.services).toContain("ObservatoryService");
  });

  test("replaces what an earlier run of a node left in the config", () => {
    const document = patched({
      inbounds: [{ tag: "API_INBOUND", protocol: "dokodemo-door", port: 9 }, vless],
      routing: { rules: [{ outboundTag: "API" }, { ruleTag: "PG_NODE_MALFORMED_DOMAIN_GUARD", outboundTag: "b" }] },
    });
    expect(document.inbounds.map(({ tag }: { tag: string }) => tag)).toEqual(["API_INBOUND", "v"]);
    expect(document.inbounds[0].port).toBeUndefined();
    expect(document.routing.rules).toHaveLength(1);
  });

  test("never becomes the default outbound of a config that has none", () => {
    expect(patched({}).outbounds).toEqual([{ protocol: "blackhole" }]);
    expect(patched({ outbounds: [{ protocol: "freedom" }] }).outbounds).toEqual([{ protocol: "freedom" }]);
  });
});

describe("log and counters", () => {
  test.each([
    [undefined, { loglevel: "info", access: "", error: "" }],
    [
      { access: "/var/a.log", error: "/var/e.log", loglevel: "debug", dnsLog: true },
      { access: "", error: "", loglevel: "debug", dnsLog: true },
    ],
    [{ access: "none" }, { access: "none", error: "" }],
  ])("log %j goes to stdout as %j", (log, expected) => {
    expect(patched(log === undefined ? {} : { log }).log).toEqual(expected);
  });

  test.each([
    [undefined, undefined, undefined],
    [{ access: "", error: null }, undefined, undefined],
    [{ access: "none", error: "none" }, undefined, undefined],
    [{ access: "/var/log/a.log" }, "/var/log/a.log", undefined],
    [{ Error: "/var/log/../e.log", access: "none" }, undefined, "/var/e.log"],
    [{ access: "logs/a.log", error: "./e.log" }, join(process.cwd(), "logs/a.log"), join(process.cwd(), "e.log")],
  ])("log %j is written by the node to the access file %s and the error file %s", (log, access, error) => {
    expect(read(log === undefined ? {} : { log }).logPaths).toEqual({ access, error });
  });

  test("the files of the log are no part of what Xray runs, whether it logs at all is", () => {
    const { fingerprint } = read({ log: { access: "/var/a.log" } });
    expect(read({ log: { error: "/var/e.log" } }).fingerprint).toBe(fingerprint);
    expect(read({ log: { access: "none" } }).fingerprint).not.toBe(fingerprint);
  });

  test("users and outbounds are counted; who is online and inbounds as the admin says", () => {
    const policy = {
      levels: { 0: { handshake: 4, statsUserOnline: true, statsUserUplink: false }, 1: { connIdle: 9 } },
      system: { statsInboundUplink: true, statsOutboundUplink: false },
    };
    expect(patched({ policy, stats: null })).toMatchObject({
      stats: {},
      policy: {
        levels: {
          0: { handshake: 4, statsUserOnline: true, statsUserUplink: true, statsUserDownlink: true },
          1: { connIdle: 9 },
        },
        system: { statsInboundUplink: true, statsOutboundUplink: true, statsOutboundDownlink: true },
      },
    });
    expect(patched({}).policy.system.statsInboundUplink).toBeUndefined();
  });

  test("with Hysteria inbounds are not counted, since its users would not be, and the admin is told", () => {
    const system = { statsInboundUplink: true, statsInboundDownlink: false };
    const inbounds = [{ tag: "h", port: 1, protocol: "Hysteria", settings: { version: 2 } }];
    const config = read({ policy: { system }, inbounds });
    expect(config.notes).toEqual([expect.stringContaining("the traffic of inbounds is not counted")]);
    expect(patched({ policy: { system }, inbounds }).policy.system).toMatchObject({
      statsInboundUplink: false,
      statsInboundDownlink: false,
    });
    expect(read({ policy: { system } }).notes).toEqual([]);
    expect(read({ inbounds }).notes).toEqual([]);
  });

  test("metrics stay as the admin wrote them", () => {
    expect(patched({ metrics: { tag: "m", listen: "127.0.0.1:9" } }).metrics).toEqual({
      tag: "m",
      listen: "127.0.0.1:9",
    });
    expect(patched({}).metrics).toBeUndefined();
  });
});

describe("routing", () => {
  test("names private networks without the geo file, in whatever form they are written", () => {
    const { rules } = patched({
      routing: {
        rules: [
          { ip: ["1.1.1.1", "GeoIP:Private", "geoip:ru"], outboundTag: "o" },
          { source: "geoip:private,9.9.9.9", outboundTag: "o" },
        ],
      },
    }).routing;
    expect(rules[1].ip).toHaveLength(17);
    expect(rules[1].ip).toEqual(expect.arrayContaining(["1.1.1.1", "10.0.0.0/8", "fe80::/10", "geoip:ru"]));
    expect(rules[1].ip).not.toContain("GeoIP:Private");
    expect(rules[2].source).toHaveLength(16);
  });

  test("sends malformed domains to the first blackhole by name, if there is one", () => {
    const outbounds = [
      { protocol: "freedom", tag: "a" },
      { protocol: "Blackhole", tag: "z" },
      { protocol: "block", tag: "k" },
    ];
    expect(patched({ outbounds }).routing.rules[1]).toEqual({
      type: "field",
      domain: ["regexp:^.{254,}$", "regexp:[^.]{64,}"],
      outboundTag: "k",
      ruleTag: "PG_NODE_MALFORMED_DOMAIN_GUARD",
    });
    expect(patched({ outbounds: [{ protocol: "blackhole" }] }).routing.rules).toHaveLength(1);
  });

  test("does not observe outbounds that lead nowhere", () => {
    const outbounds = [
      { protocol: "blackhole", tag: "b" },
      { protocol: "dns", tag: "d" },
      { protocol: "freedom", tag: "f" },
    ];
    const document = patched({ outbounds, observatory: { subjectSelector: ["b", "f", "d", "bl"], probeURL: "u" } });
    expect(document.observatory).toEqual({ subjectSelector: ["f", "bl"], probeURL: "u" });
  });
});

describe("inbounds", () => {
  test.each(["vless", "vmess", "trojan", "shadowsocks", "hysteria"])(
    "of %s get the users instead of the admin's",
    (protocol) => {
      const inbound = { tag: "t", protocol, settings: { clients: [{ id: "admin" }], users: [{ id: "admin" }], x: 1 } };
      expect(patched({ inbounds: [inbound] }, [{ email: "a" }]).inbounds[1].settings).toEqual({
        clients: [{ email: "a" }],
        x: 1,
      });
      expect(patched({ inbounds: [inbound] }).inbounds[1].settings.clients).toEqual([]);
    },
  );

  test.each(["dokodemo-door", "socks", "http", "mixed", "wireguard", "tun", "constructor"])(
    "of %s stay as they are",
    (protocol) => {
      const inbound = { tag: "t", protocol, settings: { clients: [1], accounts: [2] } };
      const config = read({ inbounds: [inbound] });
      expect(config.inbounds).toEqual([]);
      expect(patched({ inbounds: [inbound] }, [{ email: "a" }]).inbounds[1]).toEqual(inbound);
    },
  );

  test("that are excluded stay as they are", () => {
    const inbound = { ...vless, settings: { ...vless.settings, clients: [{ id: "admin" }] } };
    expect(patched({ inbounds: [inbound] }, [{ email: "a" }], ["v"]).inbounds[1]).toEqual(inbound);
    expect(read({ inbounds: [inbound] }, ["v"]).inbounds).toEqual([]);
    expect(read({ inbounds: [inbound] }, ["v"]).inboundTags).toContain("v");
  });

  test("without a tag lose the admin's clients and get none", () => {
    const { tag: _, ...untagged } = vless;
    const config = { inbounds: [{ ...untagged, settings: { clients: [{ id: "admin" }] } }] };
    expect(patched(config, [{ email: "a" }]).inbounds[1].settings.clients).toEqual([]);
    expect(read(config).inbounds).toEqual([]);
  });

  test("of Shadowsocks-2022 without users get one client that nobody knows, each time another", () => {
    const [first, second] = [1, 2].map(() => patched({ inbounds: [ss2022] }).inbounds[1].settings.clients);
    expect(first).toHaveLength(1);
    expect(Buffer.from(first[0].password, "base64")).toHaveLength(16);
    expect(first).not.toEqual(second);
    expect(patched({ inbounds: [ss2022] }, [{ email: "a" }]).inbounds[1].settings.clients).toEqual([{ email: "a" }]);
  });

  test("of the Shadowsocks-2022 method that knows no users stay as they are", () => {
    const inbound = { ...ss2022, settings: { method: "2022-blake3-chacha20-poly1305", password: "k" } };
    expect(patched({ inbounds: [inbound] }, [{ email: "a" }]).inbounds[1]).toEqual(inbound);
  });

  test("with many users are written whole", () => {
    const clients = Array.from({ length: 1_234 }, (_, index) => ({ email: `${index}` }));
    expect(patched({ inbounds: [vless, ss2022] }, clients).inbounds[1].settings.clients).toEqual(clients);
  });

  test("that listen on a unix socket are known by its path", () => {
    const inbounds = [{ ...vless, listen: "/run/x.sock,0666" }, { ...ss2022, listen: "@abstract" }, { listen: "::" }];
    expect(read({ inbounds }).sockets).toEqual(["/run/api.sock", "/run/x.sock"]);
  });
});

describe("the fingerprint", () => {
  const config = { inbounds: [vless], outbounds: [{ protocol: "freedom", tag: "f", settings: { a: 1, b: 2 } }] };

  test.each([
    [
      "keys in another order",
      { outbounds: [{ settings: { b: 2, a: 1 }, tag: "f", protocol: "freedom" }], inbounds: [vless] },
    ],
    ["other blanks", JSON.stringify(config, undefined, 4)],
    [
      "clients that the node replaces",
      { ...config, inbounds: [{ ...vless, settings: { ...vless.settings, clients: [1] } }] },
    ],
    ["an API inbound of before", { ...config, inbounds: [{ tag: "API_INBOUND", port: 7 }, vless] }],
  ])("is the same with %s", (_what, other) => {
    expect(read(other).fingerprint).toBe(read(config).fingerprint);
  });

  test.each([
    ["another port", { ...config, inbounds: [{ ...vless, port: 5 }] }, []],
    ["rules in another order", { ...config, routing: { rules: [{ outboundTag: "a" }, { outboundTag: "b" }] } }, []],
    ["an inbound excluded", config, ["v"]],
  ])("is another with %s", (_what, other, excluded) => {
    expect(read(other, excluded).fingerprint).not.toBe(read(config).fingerprint);
  });
});
