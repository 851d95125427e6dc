import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { KickUsersResponseSchema, LeftReason } from "../../../gen/garrison/node/v1/connections_pb.ts";
import type { KickResult } from "../runtime/kick-result.ts";
import { kickHeader, kickText, tellKicks } from "./kick-header.ts";

const left = (address: string, reason = LeftReason.SHARED_ADDRESS) => ({ address, reason });
const done = (...users: { email: string; cut: number; left?: ReturnType<typeof left>[] }[]): KickResult => ({
  kind: "done",
  response: create(KickUsersResponseSchema, {
    cut: users.reduce((sum, { cut }) => sum + cut, 0),
    left: users.reduce((sum, user) => sum + (user.left ?? []).length, 0),
    users,
  }),
});
const read = (results: readonly KickResult[]) => {
  const text = kickText(results) ?? "";
  expect(text).toMatch(/^[\x20-\x7e]{1,2048}$/);
  return JSON.parse(text);
};

test("nothing is told when nobody was online", async () => {
  expect(kickText([])).toBeUndefined();
  expect(kickText([done(), done()])).toBeUndefined();
  const header = new Headers();
  await tellKicks(header, [undefined, Promise.resolve(done())]);
  expect(header.has(kickHeader)).toBe(false);
});

test("several results are told as one, those who are left first", () => {
  const results = [done({ email: "a", cut: 2 }), done({ email: "b", cut: 0, left: [left("192.0.2.1")] })];
  expect(kickText(results)).toBe(
    '{"cut":2,"left":1,"users":[{"email":"b","cut":0,"left":[["192.0.2.1","shared_address"]]},' +
      '{"email":"a","cut":2,"left":[]}]}',
  );
});

test("a result that is not there yet, and one that failed, are told beside the others", () => {
  const failed: KickResult = { kind: "failed", reason: `xray went away\n${"!".repeat(5_000)}` };
  expect(read([{ kind: "pending" }])).toEqual({ cut: 0, left: 0, users: [], pending: true });
  expect(read([done({ email: "a", cut: 1 }), { kind: "pending" }, failed])).toEqual({
    cut: 1,
    left: 0,
    users: [{ email: "a", cut: 1, left: [] }],
    pending: true,
    failed: expect.stringMatching(/^xray went away\n!+$/),
  });
});

test("as many users are named as fit, and the others counted", () => {
  const users = Array.from({ length: 500 }, (_, index) => ({
    email: `user-${index}`,
    cut: 1,
    left: [left("2001:db8::1")],
  }));
  const { cut, left: kept, users: named, more } = read([done(...users)]);
  expect({ cut, kept }).toEqual({ cut: 500, kept: 500 });
  expect(named.length).toBeGreaterThan(20);
  expect(named.length + more).toBe(500);
});

test("one user may be too long to be named", () => {
  expect(read([done({ email: "x".repeat(3_000), cut: 1 })])).toEqual({ cut: 1, left: 0, users: [], more: 1 });
});

test("any e-mail can be told", () => {
  const emails = ["ünï@例え.jp", 'a"b\\c', "line\r\nbreak: yes", "$& $1", '"users":[]', "😀"];
  expect(
    read([done(...emails.map((email) => ({ email, cut: 1 })))]).users.map((user: { email: string }) => user.email),
  ).toEqual(emails);
});
