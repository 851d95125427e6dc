import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  MtProtoInboundSchema,
  MtProtoMode,
  MtProtoServiceConfigSchema,
  type MtProtoUserSchema,
} from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { readConfig } from "./config.ts";

const uuid = (digit: string) => `${digit.repeat(8)}-0000-4000-8000-000000000000`;
const secret = (digit: string) => digit.repeat(32);

interface Init {
  nodeProtocolId?: bigint;
  listen?: string;
  port?: number;
  modes?: MtProtoMode[];
  tlsDomains?: string[];
  users?: MessageInitShape<typeof MtProtoUserSchema>[];
  settings?: string;
}

function read(...inbounds: Init[]) {
  const complete = inbounds.map((inbound) =>
    create(MtProtoInboundSchema, { nodeProtocolId: 7n, port: 443, modes: [MtProtoMode.SECURE], ...inbound }),
  );
  return readConfig(create(MtProtoServiceConfigSchema, { inbounds: complete }));
}

test("reads inbounds by id and their users by link", () => {
  const users = [
    { linkUuid: uuid("b"), secret: secret("B"), maxConnections: 3 },
    { linkUuid: uuid("a"), secret: secret("a") },
  ];
  const { inbounds, skipped } = read({ users }, { nodeProtocolId: 8n, port: 444, listen: "::1" });
  expect(skipped).toEqual([]);
  expect([...inbounds.keys()]).toEqual(["7", "8"]);
  expect(inbounds.get("8")?.listen).toBe("::1");
  expect(inbounds.get("7")).toMatchObject({ id: "7", listen: undefined, port: 443, settings: {} });
  const read7 = [...(inbounds.get("7")?.users ?? [])];
  expect(read7).toMatchObject([
    [uuid("a"), { secret: secret("a") }],
    [uuid("b"), { secret: secret("b"), maxConnections: 3 }],
  ]);
});

describe("refuses", () => {
  test.each<[string, Init[], string]>([
    ["an id that is none", [{ nodeProtocolId: 0n }], "0: its id is not positive"],
    ["an id twice", [{}, { port: 444 }], "7: there is another one with its id"],
    ["a port twice", [{}, { nodeProtocolId: 8n }], "8: another one has its port 443"],
    ["a port that is none", [{ port: 70_000 }], "7: 70000 is not a port"],
    ["a name to listen on", [{ listen: "localhost" }], '7: "localhost" is not an IP address'],
    ["no mode", [{ modes: [] }], "7: it has no mode"],
    ["a mode that is not set", [{ modes: [0] }], "7: mode 0 is unknown"],
    ["tls without a domain", [{ modes: [MtProtoMode.TLS] }], "7: mode tls needs a domain"],
    ["a domain with a line end", [{ tlsDomains: ["a.org\n"] }], '7: "a.org\\n" is not a domain'],
    ["settings that are not JSON", [{ settings: "{" }], "7: its settings are not JSON"],
    ["settings that are no object", [{ settings: "[]" }], "7: its settings are not a JSON object"],
    ["null among the settings", [{ settings: '{"a":{"b":[null]}}' }], "7: settings.a.b[0] is null"],
    ["a file to include", [{ settings: '{"a":{"include":"/etc/passwd"}}' }], "7: settings.a.include is not allowed"],
    ["an API by its other name", [{ settings: '{"server":{"admin_api":{}}}' }], "7: settings.server.admin_api must be"],
  ])("%s", (_what, inbounds, reason) => {
    expect(() => read(...inbounds)).toThrow(`MTProto inbound ${reason}`);
  });
});

test("leaves out users who cannot be let in, tells why, and never a secret", () => {
  const users = [
    { linkUuid: uuid("a"), secret: secret("a") },
    { linkUuid: uuid("a"), secret: secret("b") },
    { linkUuid: "A-name", secret: secret("c") },
    { linkUuid: uuid("d"), secret: "short" },
    { linkUuid: uuid("e"), secret: secret("A") },
    { linkUuid: uuid("f"), secret: secret("f"), uploadBitsPerSecond: -1n },
  ];
  const { inbounds, skipped } = read({ users });
  expect([...(inbounds.get("7")?.users.keys() ?? [])]).toEqual([uuid("a")]);
  expect(skipped).toEqual([
    { email: "7.A-name", inbound: "7", reason: "the link is not a UUID in lower case" },
    { email: `7.${uuid("a")}`, inbound: "7", reason: "the link is there twice" },
    { email: `7.${uuid("d")}`, inbound: "7", reason: "the secret is not 32 hex digits" },
    { email: `7.${uuid("e")}`, inbound: "7", reason: "the secret is another link's" },
    { email: `7.${uuid("f")}`, inbound: "7", reason: "a speed is negative" },
  ]);
});
