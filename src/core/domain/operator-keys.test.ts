import { getOption } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { Scope, ScopeSchema } from "../../../gen/garrison/core/v1/scope_pb.ts";
import { value } from "../../../gen/garrison/rest/v1/rest_pb.ts";
import { includesScope, operatorScopes } from "./operator-keys.ts";

test("scopes are those of the contract, in its spelling", () => {
  const named = ScopeSchema.values.filter(({ number }) => number !== Scope.UNSPECIFIED);
  expect(named.map((scope) => getOption(scope, value).spelling)).toEqual([...operatorScopes]);
});

test("to write includes to read the same, and a star includes everything", () => {
  expect(includesScope(["nodes:write"], "nodes:read")).toBe(true);
  expect(includesScope(["nodes:read"], "nodes:write")).toBe(false);
  expect(includesScope(["nodes:write"], "users:read")).toBe(false);
  expect(includesScope(["users:read", "audit:read"], "audit:read")).toBe(true);
  expect(includesScope([], "audit:read")).toBe(false);
  for (const scope of operatorScopes) expect(includesScope(["*"], scope)).toBe(true);
});
