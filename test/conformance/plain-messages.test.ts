import { create, type DescMessage, fromBinary, type Message, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  BackendSchema,
  LogSchema,
  NodeService,
  StatRequestSchema,
  StatResponseSchema,
  SystemStatsResponseSchema,
  UserSchema,
  UsersSchema,
} from "../../gen/service/node_pb.ts";
import { createPlainReader } from "../../src/platform/rpc/short/plain-reader.ts";
import { createPlainWriter } from "../../src/platform/rpc/short/plain-writer.ts";
import { arbitraryKinds } from "../rest/arbitrary-kinds.ts";
import { KindsSchema, RuledSchema } from "../rest/gen/garrison/resttest/v1/kinds_pb.ts";

const user = {
  email: "someone@example.org",
  proxies: {
    vless: { id: "5c6f3b0e-2d39-4c5e-9d77-8a1f4f0a7e11", flow: "xtls-rprx-vision" },
    trojan: { password: "p" },
  },
  inbounds: ["vless-tcp", "یک ورودی", ""],
  userSyncEpoch: 7n,
};

const readUser = createPlainReader(UserSchema);

// What clients send and handlers answer all day.
const usual: [string, DescMessage, Message][] = [
  ["nothing", UserSchema, create(UserSchema)],
  ["a user", UserSchema, create(UserSchema, user)],
  ["many users", UsersSchema, create(UsersSchema, { users: Array(200).fill(user) })],
  ["a long string", LogSchema, create(LogSchema, { detail: "x".repeat(5_000) })],
  ["a string beyond Latin", LogSchema, create(LogSchema, { detail: "\u{1f600} گزارش é" })],
  ["an enum", StatRequestSchema, create(StatRequestSchema, { name: "a", reset: true, type: 5 })],
  ["64-bit integers", StatResponseSchema, create(StatResponseSchema, { stats: [{ name: "a", value: 2n ** 48n }] })],
  ["a zero that is set", RuledSchema, create(RuledSchema, { ownerId: 0n })],
  ["a config", BackendSchema, create(BackendSchema, { config: "{}".repeat(400), users: [user], keepAlive: 60n })],
];

describe("messages as they usually are", () => {
  test.each(usual)("%s is read as fromBinary reads it", (_name, desc, message) => {
    const bytes = toBinary(desc, message);
    const buffer = Buffer.concat([Buffer.from("before"), bytes, Buffer.from("behind")]);
    const read = createPlainReader(desc)(buffer, 6, 6 + bytes.length);
    expect(read).toStrictEqual(fromBinary(desc, bytes));
  });

  test.each([
    ...usual,
    ["doubles", SystemStatsResponseSchema, create(SystemStatsResponseSchema, { cpuUsage: 12.5, memTotal: 1n << 40n })],
  ] as typeof usual)("%s is written as toBinary writes it, behind the room", (_name, desc, message) => {
    const written = createPlainWriter(desc)(message, 5);
    expect(written?.subarray(5)).toEqual(Buffer.from(toBinary(desc, message)));
  });

  test("empty messages inside of others cannot be changed, since they are one", () => {
    const bytes = toBinary(
      UsersSchema,
      create(UsersSchema, { users: [1, 2].map(() => ({ proxies: { wireguard: {} } })) }),
    );
    const read = createPlainReader(UsersSchema)(Buffer.from(bytes), 0, bytes.length);
    expect(read).toStrictEqual(fromBinary(UsersSchema, bytes));
    const { users } = read as MessageShape<typeof UsersSchema>;
    const [first, second] = users.map(({ proxies }) => proxies?.wireguard);
    expect(first).toBe(second);
    expect([Object.isFrozen(first), Object.isFrozen(first?.peerIps)]).toEqual([true, true]);
  });

  test("strings of lists are read as they are, however much they look alike", () => {
    const string = fc.oneof(fc.stringMatching(/^[ab]{0,5}$/), fc.string({ maxLength: 100 }), fc.constant("\ufffd"));
    fc.assert(
      fc.property(fc.array(string, { maxLength: 40 }), (inbounds) => {
        const bytes = toBinary(UserSchema, create(UserSchema, { inbounds }));
        const read = readUser(Buffer.from(bytes), 0, bytes.length) ?? fromBinary(UserSchema, bytes);
        expect(read).toStrictEqual(fromBinary(UserSchema, bytes));
      }),
    );
  });

  test("every request and answer of the node's contract is read and written", () => {
    for (const { input, output } of NodeService.methods) {
      expect(createPlainReader(input)(Buffer.alloc(0), 0, 0)).toStrictEqual(create(input));
      expect(createPlainWriter(output)(create(output), 0)).toHaveLength(0);
    }
  });
});

describe("what is not plain is left to the general functions", () => {
  const readLog = createPlainReader(LogSchema);
  const left: [string, number[]][] = [
    ["an unknown field", [0x7a, 1, 0x61]],
    ["a field of another wire type", [0x08, 1]],
    ["invalid UTF-8", [0x0a, 2, 0xc3, 0x28]],
    ["a length beyond the end", [0x0a, 5, 0x61]],
    ["a length without end", [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
    ["a tag cut short", [0x8a]],
    ["field number zero", [0x02, 0]],
  ];
  test.each(left)("when reading: %s", (_name, bytes) => {
    expect(readLog(Buffer.from(bytes), 0, bytes.length)).toBeUndefined();
  });

  test("when reading: a message that comes twice, and is merged", () => {
    const twice = Buffer.concat([
      toBinary(UserSchema, create(UserSchema, { proxies: { vless: { id: "a" } } })),
      toBinary(UserSchema, create(UserSchema, { proxies: { vmess: { id: "b" } } })),
    ]);
    expect(createPlainReader(UserSchema)(twice, 0, twice.length)).toBeUndefined();
  });

  test("when reading and writing: proto2, with its defaults, and the well-known types", () => {
    expect(createPlainReader(FileDescriptorProtoSchema)(Buffer.alloc(0), 0, 0)).toBeUndefined();
    expect(createPlainWriter(FileDescriptorProtoSchema)(create(FileDescriptorProtoSchema), 0)).toBeUndefined();
    const timestamp = create(KindsSchema, { timestamp: create(TimestampSchema, { seconds: 1n }) });
    expect(createPlainWriter(KindsSchema)(timestamp, 0)).toBeUndefined();
  });

  const wrong: [string, Record<string, unknown>][] = [
    ["a message of another type", { $typeName: "service.User" }],
    ["a number for a string", { detail: 5 }],
    ["a missing string", { detail: undefined }],
    ["unknown fields", { $unknown: [{ no: 9, wireType: 0, data: new Uint8Array([1]) }] }],
    ["more than 1 MiB", { detail: "x".repeat(1_100_000) }],
  ];
  test.each(wrong)("when writing: %s", (_name, fields) => {
    const message = Object.assign(create(LogSchema, { detail: "a" }), fields);
    expect(createPlainWriter(LogSchema)(message as Message, 0)).toBeUndefined();
  });
});

describe("whatever is read or written is so as the general functions do it", () => {
  const descs: DescMessage[] = [UserSchema, UsersSchema, KindsSchema];
  const readers = new Map(descs.map((desc) => [desc, createPlainReader(desc)]));
  const writers = new Map(descs.map((desc) => [desc, createPlainWriter(desc)]));

  test("messages of every kind of field, whole and damaged", () => {
    const damage = fc.record({ at: fc.nat(), to: fc.nat(255), cut: fc.nat(40) });
    fc.assert(
      fc.property(arbitraryKinds(), fc.option(damage), (message, damaged) => {
        const bytes = Buffer.from(toBinary(KindsSchema, message));
        checkRead(KindsSchema, damaged === null ? bytes : damagedBy(bytes, damaged));
        checkWritten(KindsSchema, message);
      }),
      { numRuns: 300 },
    );
  });

  test("users, whole and damaged", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 40 });
    const users = fc.array(fc.record({ email: text, inbounds: fc.array(text, { maxLength: 4 }) }), { maxLength: 5 });
    const damage = fc.record({ at: fc.nat(), to: fc.nat(255), cut: fc.nat(3) });
    fc.assert(
      fc.property(users, fc.option(damage), (list, damaged) => {
        const message = create(UsersSchema, { users: list });
        const bytes = Buffer.from(toBinary(UsersSchema, message));
        checkRead(UsersSchema, damaged === null ? bytes : damagedBy(bytes, damaged));
        checkWritten(UsersSchema, message);
      }),
      { numRuns: 3_000 },
    );
  });

  test("noise", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => checkRead(UserSchema, Buffer.from(noise))),
      { numRuns: 3_000 },
    );
  });

  function checkRead(desc: DescMessage, bytes: Buffer): void {
    const read = readers.get(desc)?.(bytes, 0, bytes.length);
    if (read !== undefined) expect(read).toStrictEqual(fromBinary(desc, new Uint8Array(bytes)));
  }

  function checkWritten(desc: DescMessage, message: Message): void {
    const written = writers.get(desc)?.(message, 0);
    if (written !== undefined) expect(written).toEqual(Buffer.from(toBinary(desc, message)));
  }
});

function damagedBy(bytes: Buffer, { at, to, cut }: { at: number; to: number; cut: number }): Buffer {
  const copy = Buffer.from(bytes.subarray(0, Math.max(0, bytes.length - cut)));
  if (copy.length > 0) copy[at % copy.length] = to;
  return copy;
}
