import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type User, UserSchema } from "../../gen/service/node_pb.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols } from "../support/proxy-protocols.ts";
import { createRandom } from "../support/random.ts";
import { createEngineUnderTest, type EngineUnderTest } from "./engine-under-test.ts";
import { createHysteria, createVision, shadowsocks2022, userOfAll as userOf } from "./more-protocols.ts";

const protocols = [...proxyProtocols, shadowsocks2022, await createVision(), await createHysteria()];
const tags = protocols.map(({ name }) => name);

let xray: EngineUnderTest;
let incarnation: string;

beforeAll(async () => {
  xray = await createEngineUnderTest();
  const config = nodeConfig(await freePorts(protocols.length), protocols);
  await xray.engine.start({ config, users: [], excludeInbounds: [] });
  ({ incarnation } = await xray.engine.readTraffic());
});
beforeEach(async () => {
  await xray.engine.replaceUsers([]);
});
afterAll(async () => {
  expect((await xray.engine.readTraffic()).incarnation).toBe(incarnation);
  await xray.close();
});

const done = { skipped: [], rejected: [] };
const without = (user: User): User => ({ ...user, inbounds: [] });

describe.each(tags)("on a running %s inbound", (tag) => {
  test("users come, change and go", async () => {
    const [one, two] = [userOf("1", tag), userOf("2", tag)];
    expect(await xray.engine.updateUsers([one, two])).toEqual(done);
    expect(await xray.usersOn(tag)).toEqual(["1", "2"]);
    expect(await xray.engine.updateUsers([userOf("2", tag), userOf("3", tag)])).toEqual(done);
    expect(await xray.usersOn(tag)).toEqual(["1", "2", "3"]);
    expect(await xray.engine.updateUsers([without(one)])).toEqual(done);
    expect(await xray.usersOn(tag)).toEqual(["2", "3"]);
    expect(await xray.engine.replaceUsers([two])).toEqual(done);
    expect(await xray.usersOn(tag)).toEqual(["2"]);
    expect(await xray.engine.updateUsers([without(one), without(two)])).toEqual(done);
    expect(await xray.usersOn(tag)).toEqual([]);
  });

  test("an unusable user is skipped, and all others are set", async () => {
    const unusable = create(UserSchema, { email: "2", inbounds: [tag], proxies: { vless: {}, trojan: {} } });
    const outcome = await xray.engine.updateUsers([userOf("1", tag), unusable, userOf("3", tag)]);
    expect(outcome).toEqual({
      rejected: [],
      skipped: [{ email: "2", inbound: tag, reason: expect.stringMatching(/^no /) }],
    });
    expect(await xray.usersOn(tag)).toEqual(["1", "3"]);
  });
});

test("what Xray holds is what was asked for after any sequence of changes", async () => {
  const { below: random } = createRandom(20_260_327);
  const wanted = new Map<string, Set<string>>();
  const users = new Map<string, User>();
  for (let round = 0; round < 30; round++) {
    const replace = random(5) === 0;
    const batch = Array.from({ length: random(12) }, () => {
      const email = `user-${random(15)}`;
      const known = users.get(email);
      const some = tags.filter(() => random(2) === 0);
      return random(2) === 0 && known !== undefined ? { ...known, inbounds: some } : userOf(email, ...some);
    });
    expect(await xray.engine[replace ? "replaceUsers" : "updateUsers"](batch)).toEqual(done);
    if (replace) wanted.clear();
    for (const user of batch) {
      users.set(user.email, user);
      wanted.set(user.email, new Set(user.inbounds));
    }
    const asked = tags.map((tag) =>
      [...wanted]
        .filter(([, on]) => on.has(tag))
        .map(([email]) => email)
        .sort(),
    );
    expect(await Promise.all(tags.map((tag) => xray.usersOn(tag)))).toEqual(asked);
  }
});

test("users who stay as they are cost no call", async () => {
  const users = Array.from({ length: 300 }, (_, index) =>
    userOf(`${index}`, ...proxyProtocols.map(({ name }) => name)),
  );
  await xray.engine.updateUsers(users);
  const calls = () => xray.engine.sysStats().then(({ mallocs }) => mallocs);
  const [before, idle] = [await calls(), await calls()];
  await xray.engine.replaceUsers(users);
  await xray.engine.updateUsers(users);
  const after = await calls();
  // 1,200 calls would make Xray allocate tens of thousands of objects.
  expect(Number(after - idle)).toBeLessThan(Number(idle - before) + 2_000);
});

test("a user whom Xray would refuse is told in its words, and all others are set", async () => {
  await xray.engine.updateUsers([userOf("Ann", "vless")]);
  const outcome = await xray.engine.updateUsers([userOf("ann", "vless"), userOf("bob", "vless")]);
  expect(outcome).toEqual({
    skipped: [],
    rejected: [{ email: "ann", inbound: "vless", reason: "User Ann already exists." }],
  });
  expect(await xray.usersOn("vless")).toEqual(["Ann", "bob"]);
});

test("a start with e-mails that only Xray takes for the same serves all others", async () => {
  const mine = await createEngineUnderTest();
  const emails = ["AΣ", "aσ", "aς", "İ", "i", "i\u0307", "\u212A", "k", "s", "ſ"];
  const users = emails.map((email) => userOf(email, "vless", "vmess", "trojan"));
  const { rejected } = await mine.engine.start({ config: nodeConfig(await freePorts(4)), users, excludeInbounds: [] });
  expect(new Set(rejected.map(({ email }) => email))).toEqual(new Set(["aσ", "aς", "i", "k", "ſ"]));
  expect(new Set(await mine.usersOn("vless"))).toEqual(new Set(["AΣ", "İ", "i\u0307", "\u212A", "s"]));
  await mine.close();
});

test("who leaves is gone from every inbound, and nobody else is, whatever the letters of the e-mail", async () => {
  for (const [leaver, stays] of [
    ["ſ", "s"],
    ["aς", "aσ"],
    ["İ", "i"],
  ] as const) {
    await xray.engine.replaceUsers([userOf(stays, ...tags)]);
    await xray.engine.updateUsers([userOf(leaver, ...tags)]);
    await xray.engine.updateUsers([without(userOf(leaver))]);
    expect(await Promise.all(tags.map((tag) => xray.usersOn(tag)))).toEqual(tags.map(() => [stays]));
    await xray.engine.replaceUsers([userOf(leaver, ...tags)]);
    await xray.engine.replaceUsers([]);
    expect(await Promise.all(tags.map((tag) => xray.usersOn(tag)))).toEqual(tags.map(() => []));
  }
});

test("what somebody else did to Xray's users does not stand in the way", async () => {
  const [one, two] = [userOf("1", "vless"), userOf("2", "vless")];
  await xray.engine.updateUsers([one]);
  await xray.alter("vless", { remove: "1" });
  await xray.alter("vless", { addVless: "2", id: two.proxies?.vless?.id ?? "" });
  expect(await xray.engine.updateUsers([without(one), userOf("2", "vless")])).toEqual(done);
  expect(await xray.usersOn("vless")).toEqual(["2"]);
});

test("excluded inbounds and those of other protocols are never touched", async () => {
  const [port = 0, other = 0] = await freePorts(2);
  const mine = await createEngineUnderTest();
  const inbounds = [
    {
      listen: "127.0.0.1",
      port,
      tag: "kept",
      protocol: "trojan",
      settings: { clients: [{ password: "p", email: "admin" }] },
    },
    { listen: "127.0.0.1", port: other, tag: "socks", protocol: "socks" },
  ];
  const config = JSON.stringify({ inbounds, outbounds: [{ protocol: "freedom", tag: "direct" }] });
  const outcome = await mine.engine.start({ config, users: [userOf("1", "kept", "socks")], excludeInbounds: ["kept"] });
  expect(outcome).toEqual(done);
  expect(await mine.engine.updateUsers([userOf("2", "kept", "socks")])).toEqual(done);
  expect(await mine.usersOn("kept")).toEqual(["admin"]);
  await mine.close();
});
