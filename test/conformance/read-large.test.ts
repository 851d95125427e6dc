import { create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, test } from "vitest";
import { NodeAgentService } from "../../gen/garrison/core/v1/node_agent_pb.ts";
import { BackendSchema, UserSchema, UsersSchema } from "../../gen/service/node_pb.ts";
import { readLarge } from "../../src/platform/rpc/read-large.ts";

const users = Array.from({ length: 5_000 }, (_, index) => ({
  email: `${index}`.repeat(1 + (index % 7)),
  inbounds: ["a", "b"],
  proxies: { vless: { id: crypto.randomUUID() }, wireguard: { peerIps: ["10.0.0.1/32"] } },
}));

describe("a message that is read in slices", () => {
  test("is the one that was written, whatever stands between its list", async () => {
    const first = toBinary(BackendSchema, create(BackendSchema, { config: "{}", users, keepAlive: 5n }));
    const more = toBinary(BackendSchema, create(BackendSchema, { excludeInbounds: ["x"], users: users.slice(0, 9) }));
    const unknown = new BinaryWriter().tag(900, WireType.LengthDelimited).string("later").finish();
    const bytes = Buffer.concat([first, unknown, more]);
    expect(equals(BackendSchema, await readLarge(BackendSchema, bytes), fromBinary(BackendSchema, bytes))).toBe(true);
  });

  test("may hold what is unusual among what is usual", async () => {
    const long = { ...users[0], userSyncEpoch: 2n ** 63n };
    const proxies = { vless: { id: "of the first half" } };
    const bytes = toBinary(UsersSchema, create(UsersSchema, { users: [...users, long, ...users, { proxies }, {}] }));
    const halves = new BinaryWriter().tag(1, WireType.LengthDelimited).fork();
    for (const half of [{ proxies }, { proxies: { vless: { flow: "of the second" } } }])
      halves.raw(toBinary(UserSchema, create(UserSchema, half)));
    const both = Buffer.concat([bytes, halves.join().finish()]);
    expect(equals(UsersSchema, await readLarge(UsersSchema, both), fromBinary(UsersSchema, both))).toBe(true);
  });

  test("may be empty, or one field", async () => {
    expect(await readLarge(UsersSchema, new Uint8Array())).toEqual(create(UsersSchema));
    const bytes = toBinary(BackendSchema, create(BackendSchema, { config: "x".repeat(1_000_000) }));
    expect((await readLarge(BackendSchema, bytes)).config).toHaveLength(1_000_000);
  });

  test("has its maps, oneofs and optional fields", async () => {
    for (const { input } of NodeAgentService.methods) {
      const bytes = toBinary(input, create(input));
      expect(equals(input, await readLarge(input, bytes), fromBinary(input, bytes))).toBe(true);
    }
  });

  test.each([
    ["cut", (bytes: Uint8Array) => bytes.subarray(0, -3)],
    ["followed by garbage", (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.from([0x0a, 0xff, 0xff])])],
    ["broken inside", (bytes: Uint8Array) => Buffer.from(bytes).fill(0xff, 200_000, 200_050)],
  ])("that is %s fails as it does when it is read at once", async (_how, spoil) => {
    const bytes = spoil(toBinary(UsersSchema, create(UsersSchema, { users })));
    const whole = await Promise.try(() => fromBinary(UsersSchema, bytes)).catch((error: Error) => error);
    const sliced = await readLarge(UsersSchema, bytes).catch((error: Error) => error);
    expect(whole).toBeInstanceOf(Error);
    expect(sliced).toBeInstanceOf(Error);
  });

  test("lets others have their turn", async () => {
    const bytes = toBinary(UsersSchema, create(UsersSchema, { users }));
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 0);
    const reading = readLarge(UsersSchema, bytes);
    await reading;
    clearInterval(timer);
    expect(turns).toBeGreaterThan(3);
  });
});
