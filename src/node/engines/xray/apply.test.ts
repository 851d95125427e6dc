import { create, fromBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type User, UserSchema } from "../../../../gen/service/node_pb.ts";
import {
  AddUserOperationSchema,
  AlterInboundRequestSchema,
  AlterInboundResponseSchema,
  RemoveUserOperationSchema,
} from "../../../../gen/xray/app/proxyman/command/command_pb.ts";
import { refuse, reply, startXrayStandIn, type XrayStandIn } from "../../../../test/engines/xray-stand-in.ts";
import type { RejectedUser } from "../engine.ts";
import { EngineNotRunning, EngineUnreachable } from "../engine-error.ts";
import { XrayApi } from "./api.ts";
import { applyChanges } from "./apply.ts";
import { readXrayConfig } from "./config.ts";
import { UserTable } from "./users.ts";

const config = JSON.stringify({ inbounds: [{ tag: "a", protocol: "vless" }] });
const { inbounds } = readXrayConfig(config, { excludeInbounds: [], apiSocket: "/x" });
const running = new AbortController().signal;

let xray: XrayStandIn;
let api: XrayApi;
let table: UserTable;
let calls: string[];
/** What Xray answers to a call, such as `add 1`: an error's text, or undefined. */
let errorOf: (call: string) => { code: number; text: string } | "dies" | undefined;

beforeEach(async () => {
  xray = await startXrayStandIn();
  api = new XrayApi(xray.socketPath);
  table = new UserTable(inbounds);
  calls = [];
  errorOf = () => undefined;
  xray.answer = (stream, message) => {
    const { operation } = fromBinary(AlterInboundRequestSchema, message);
    const value = operation?.value ?? new Uint8Array();
    const call =
      operation?.type === AddUserOperationSchema.typeName
        ? `add ${fromBinary(AddUserOperationSchema, value).user?.email}`
        : `remove ${fromBinary(RemoveUserOperationSchema, value).email}`;
    calls.push(call);
    const error = errorOf(call);
    if (error === undefined) reply(stream, AlterInboundResponseSchema);
    else if (error === "dies") stream.session?.destroy();
    else refuse(stream, error.code, error.text);
  };
});
afterEach(async () => {
  api.close();
  await xray.close();
});

function user(email: string, digit: number, tags = ["a"]): User {
  const id = `0000000${digit}-0000-4000-8000-000000000000`;
  return create(UserSchema, { email, inbounds: tags, proxies: { vless: { id } } });
}

async function hold(...users: User[]): Promise<void> {
  await table.settle((await table.diff(users, true)).changes);
}

async function apply(users: User[], signal = running): Promise<RejectedUser[]> {
  return applyChanges(api, table, (await table.diff(users, false)).changes, signal);
}

const held = () => inbounds.flatMap((inbound) => table.clientsOf(inbound).map(({ email }) => email));

test("a changed user is removed and then added, a new one is only added, one who stays is left alone", async () => {
  await hold(user("stays", 1), user("changes", 2));
  expect(await apply([user("stays", 1), user("changes", 3), user("new", 4)])).toEqual([]);
  expect([...calls].sort()).toEqual(["add changes", "add new", "remove changes"]);
  expect(calls.indexOf("add changes")).toBeGreaterThan(calls.indexOf("remove changes"));
});

test("an id goes to another user only after it was given up", async () => {
  await hold(user("old", 1), user("other", 2));
  await apply([user("heir", 1), user("other", 3), user("old", 1, [])]);
  expect(calls.indexOf("add heir")).toBeGreaterThan(calls.indexOf("remove old"));
  expect(held().sort()).toEqual(["heir", "other"]);
});

test("two users who swap their ids are both removed before either is added", async () => {
  await hold(user("1", 1), user("2", 2));
  await apply([user("1", 2), user("2", 1)]);
  expect(calls.slice(0, 2).sort()).toEqual(["remove 1", "remove 2"]);
  expect(calls.slice(2).sort()).toEqual(["add 1", "add 2"]);
});

test("a user who is there already is replaced, and one who is gone already is no error", async () => {
  await hold(user("gone", 1));
  let first = true;
  errorOf = (call) => {
    if (call === "remove gone") return { code: 2, text: "User gone not found." };
    if (call !== "add there" || !first) return undefined;
    first = false;
    return { code: 2, text: "proxy/vless: User there already exists." };
  };
  expect(await apply([user("gone", 1, []), user("there", 2)])).toEqual([]);
  expect(calls.filter((call) => call.endsWith("there"))).toEqual(["add there", "remove there", "add there"]);
  expect(held()).toEqual(["there"]);
});

test("a user whom Xray refuses is told, the others are set, and asking again tries again", async () => {
  errorOf = (call) => (call === "add bad" ? { code: 2, text: "not with me" } : undefined);
  const users = [user("1", 1), user("bad", 2), user("3", 3)];
  const rejected = [{ email: "bad", inbound: "a", reason: "not with me" }];
  expect(await apply(users)).toEqual(rejected);
  expect(held().sort()).toEqual(["1", "3"]);
  calls = [];
  expect(await apply(users)).toEqual(rejected);
  expect(calls).toEqual(["add bad"]);
});

test("a user whom Xray does not let go stays known, and is removed by asking again", async () => {
  await hold(user("1", 1));
  errorOf = () => ({ code: 2, text: "busy" });
  expect(await apply([user("1", 1, [])])).toEqual([{ email: "1", inbound: "a", reason: "busy" }]);
  expect(held()).toEqual(["1"]);
  errorOf = () => undefined;
  expect(await apply([user("1", 1, [])])).toEqual([]);
  expect(held()).toEqual([]);
});

test.each([
  ["handler not found: a", 2],
  ["proxy is not a UserManager", 2],
  ["unknown service", 12],
  ["transport is closing", 14],
])("%s is nobody's fault among the users", async (text, code) => {
  errorOf = () => ({ code, text });
  await expect(apply([user("1", 1)])).rejects.toThrow(EngineUnreachable);
});

test("a failure in the middle ends the rest, and asking again completes it", async () => {
  const users = Array.from({ length: 300 }, (_, index) => user(`${index}`, index % 9));
  errorOf = (call) => (call === "add 150" ? "dies" : undefined);
  await expect(apply(users)).rejects.toThrow(EngineUnreachable);
  expect(calls.length).toBeLessThan(300);
  errorOf = () => undefined;
  expect(await apply(users)).toEqual([]);
  expect(held()).toHaveLength(300);
});

test("a user who is only set again comes back with Xray when it goes away in between", async () => {
  await hold(user("goes", 1), user("stays", 1));
  errorOf = (call) => (call === "add stays" ? "dies" : undefined);
  await expect(apply([user("goes", 1, [])])).rejects.toThrow(EngineUnreachable);
  expect(held()).toEqual(["stays"]);
});

test("nothing is begun any more once it is not wanted", async () => {
  const stop = new AbortController();
  const users = Array.from({ length: 300 }, (_, index) => user(`${index}`, 1));
  errorOf = (call) => {
    if (call === "add 100") stop.abort();
    return undefined;
  };
  await expect(apply(users, stop.signal)).rejects.toThrow(EngineNotRunning);
  expect(calls.length).toBeLessThan(200);
});
