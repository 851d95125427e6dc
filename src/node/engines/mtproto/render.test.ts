import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { parse } from "smol-toml";
import { expect, test } from "vitest";
import { MtProtoMode, type MtProtoUser, MtProtoUserSchema } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { InboundConfig } from "./config.ts";
import { type Endpoints, type RenderedInbound, render, structureOf } from "./render.ts";

const alice = create(MtProtoUserSchema, { linkUuid: "alice", secret: "0a".repeat(16) });
const bob = create(MtProtoUserSchema, {
  linkUuid: "11111111-0000-4000-8000-000000000000",
  secret: "0b".repeat(16),
  maxConnections: 4,
  maxAddresses: 2,
  uploadBitsPerSecond: 8_000_000_000_000n,
});
const config: InboundConfig = {
  id: "7",
  listen: undefined,
  port: 443,
  modes: new Set([MtProtoMode.SECURE, MtProtoMode.TLS]),
  tlsDomains: ["a.example.org", "b.example.org"],
  settings: {},
  users: new Map(),
};
const endpoints: Endpoints = { apiPort: 5001, metricsPort: 5002, authorization: "word" };

function inbound(users: MtProtoUser[], changed: Partial<InboundConfig> = {}, disabled: string[] = []): RenderedInbound {
  const byName = new Map(users.map((user) => [user.linkUuid, user]));
  return { config: { ...config, ...changed }, users: byName, disabled: new Set(disabled) };
}

/** What telemt reads: the file that is named stands in the place of the line. */
function read(rendered: RenderedInbound, ipv6 = true): { marker: string; access?: unknown } {
  const { main, access, marker } = render(rendered, endpoints, { ipv6 });
  return { marker, ...parse(main.replace(/^include = "access.toml"$/m, access)) };
}

test("renders what an inbound says, and what the node needs", () => {
  expect(read(inbound([]))).toEqual({
    marker: expect.stringMatching(/^garrison-[0-9a-f]{32}$/),
    general: {
      modes: { classic: false, secure: true, tls: true },
      links: { show: [] },
      telemetry: { user_enabled: true },
    },
    server: {
      port: 443,
      listeners: [
        { ip: "0.0.0.0", port: 443 },
        { ip: "::", port: 443 },
      ],
      metrics_listen: "127.0.0.1:5002",
      metrics_whitelist: ["127.0.0.1/32"],
      api: {
        enabled: true,
        listen: "127.0.0.1:5001",
        whitelist: ["127.0.0.1/32"],
        auth_header: "word",
        read_only: true,
      },
    },
    censorship: { tls_domain: "a.example.org", tls_domains: ["b.example.org"] },
    access: expect.anything(),
  });
});

test("renders users with their limits, and a marker who may not connect", () => {
  const { access, marker } = read(inbound([alice, bob], {}, ["alice"]));
  expect(access).toEqual({
    users: { [marker]: expect.stringMatching(/^[0-9a-f]{32}$/), alice: alice.secret, [bob.linkUuid]: bob.secret },
    user_enabled: { [marker]: false, alice: false },
    user_max_tcp_conns: { [bob.linkUuid]: 4 },
    user_max_unique_ips: { [bob.linkUuid]: 2 },
    user_rate_limits: { [bob.linkUuid]: { up_bps: 8_000_000_000_000, down_bps: 0 } },
  });
});

test("what the fields say wins over the settings, the rest of them stays", () => {
  const settings = {
    general: { use_middle_proxy: false, modes: { classic: true }, log_level: "debug" },
    server: { port: 1, listeners: [], api: { read_only: false, request_body_limit_bytes: 1 } },
    access: { users: { mallory: "00" }, user_max_tcp_conns_global_each: 9 },
    upstreams: [{ type: "direct" }],
    dc_overrides: { "-2": "127.0.0.1:1" },
  };
  const rendered = read(inbound([alice], { settings, listen: "127.0.0.1" }));
  expect(rendered).toMatchObject({
    general: { use_middle_proxy: false, modes: { classic: false }, log_level: "debug" },
    server: {
      port: 443,
      listeners: [{ ip: "127.0.0.1", port: 443 }],
      api: { read_only: true, request_body_limit_bytes: 1 },
    },
    upstreams: [{ type: "direct" }],
    dc_overrides: { "-2": "127.0.0.1:1" },
    access: { user_max_tcp_conns_global_each: 9 },
  });
  expect(rendered.access).not.toHaveProperty("users.mallory");
});

test("without IPv6 there is one listener", () => {
  expect(read(inbound([]), false)).toMatchObject({ server: { listeners: [{ ip: "0.0.0.0", port: 443 }] } });
});

test("the same config renders to the same bytes, and the hash is that of the file", () => {
  const first = render(inbound([alice, bob]), endpoints, { ipv6: true });
  expect(render(inbound([alice, bob]), endpoints, { ipv6: true })).toEqual(first);
  expect(first.mainHash).toBe(createHash("sha256").update(first.main).digest("hex"));
});

test.each([
  ["a user", inbound([alice])],
  ["a secret", inbound([alice, { ...bob, secret: "0c".repeat(16) }])],
  ["a limit", inbound([alice, { ...bob, maxAddresses: 3 }])],
  ["who is disabled", inbound([alice, bob], {}, ["alice"])],
  ["a setting", inbound([alice, bob], { settings: { general: { log_level: "debug" } } })],
])("the marker is another one when %s changes", (_what, changed) => {
  const markerOf = (rendered: RenderedInbound) => render(rendered, endpoints, { ipv6: true }).marker;
  expect(markerOf(changed)).not.toBe(markerOf(inbound([alice, bob])));
});

test.each([
  [true, "log level", { settings: { general: { log_level: "debug" } } }],
  [true, "limits of everybody", { settings: { access: { user_max_tcp_conns_global_each: 1 } } }],
  [true, "users", { users: new Map([["alice", alice]]) }],
  [false, "port", { port: 444 }],
  [false, "address", { listen: "127.0.0.1" }],
  [false, "modes", { modes: new Set([MtProtoMode.TLS]) }],
  [false, "domains", { tlsDomains: ["a.example.org"] }],
  [false, "middle proxy", { settings: { general: { use_middle_proxy: false } } }],
  [false, "denied sources", { settings: { access: { user_source_deny: { alice: ["10.0.0.0/8"] } } } }],
])("that it can change while telemt runs is %s of its %s", (live, _what, changed) => {
  expect(structureOf({ ...config, ...changed }) === structureOf(config)).toBe(live);
});
