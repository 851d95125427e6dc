import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ListUsersRequestSchema } from "../../../../gen/garrison/core/v1/users_pb.ts";
import { pageOf } from "./page.ts";
import { Invalid } from "./situations.ts";

const page = (request: { pageSize?: number; pageToken?: string; query?: string }) =>
  pageOf(ListUsersRequestSchema, create(ListUsersRequestSchema, request), ["number"]);
const rows = [{ id: 1 }, { id: 2 }, { id: 3 }];
const keyOf = ({ id }: { id: number }) => [id];
const made = (of: string, key: string) =>
  Buffer.from(
    Buffer.from(of, "base64url")
      .toString()
      .replace(/,[^,]*]$/, `,${key}]`),
  ).toString("base64url");
const token = page({ pageSize: 2, query: "a" }).cut(rows, keyOf).nextPageToken;

test("a token leads on from the last row of its page", () => {
  expect(page({ pageSize: 2, query: "a" }).cut(rows, keyOf).rows).toEqual([{ id: 1 }, { id: 2 }]);
  expect(page({ pageSize: 2, query: "a", pageToken: token }).after).toEqual([2]);
});

test("the size of a page may change from page to page", () => {
  expect(page({ pageSize: 7, query: "a", pageToken: token })).toMatchObject({ size: 7, after: [2] });
});

test("the last page has no token", () => {
  expect(page({ pageSize: 3 }).cut(rows, keyOf)).toEqual({ rows, nextPageToken: "" });
  expect(page({}).cut([], keyOf)).toEqual({ rows: [], nextPageToken: "" });
});

test("a token with a zero character in its key is refused", () => {
  const named = (pageToken = "") =>
    pageOf(ListUsersRequestSchema, create(ListUsersRequestSchema, { pageSize: 1, pageToken }), ["string"]);
  const { nextPageToken } = named().cut([{ name: "a" }, { name: "b" }], ({ name }) => [name]);
  expect(named(made(nextPageToken, '"c"')).after).toEqual(["c"]);
  expect(() => named(made(nextPageToken, '"c\\u0000"'))).toThrow(Invalid);
});

test.each([
  ["of other filters", { query: "b", pageToken: token }],
  ["that was cut", { query: "a", pageToken: token.slice(0, -3) }],
  ["of another making", { query: "a", pageToken: "garbage" }],
  ["that is no list", { query: "a", pageToken: Buffer.from('{"a":1}').toString("base64url") }],
  ["with a key of another type", { query: "a", pageToken: made(token, '"2"') }],
  ["with a part of a number", { query: "a", pageToken: made(token, "1.5") }],
  ["with a number that no row can have", { query: "a", pageToken: made(token, "1e300") }],
])("a token %s is refused", (_what, request) => {
  expect(() => page(request)).toThrow(Invalid);
  expect(() => page(request)).toThrow(expect.objectContaining({ code: "PAGE_TOKEN_INVALID" }));
});
