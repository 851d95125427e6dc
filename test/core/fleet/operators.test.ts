import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { AuditService } from "../../../gen/garrison/core/v1/audit_pb.ts";
import { OperatorService } from "../../../gen/garrison/core/v1/operators_pb.ts";
import { Scope } from "../../../gen/garrison/core/v1/scope_pb.ts";
import { UserService } from "../../../gen/garrison/core/v1/users_pb.ts";
import { hashOf } from "../../../src/core/domain/hashed-secret.ts";
import { refused } from "./expectations.ts";
import { describeFleet, given } from "./scene.ts";
import { createCaller } from "./ways.ts";

const operators = OperatorService.method;

describeFleet((scene) => {
  const make = async (scopes: Scope[], more: object = {}) => {
    const { apiKey, key } = await scene.call(operators.createApiKey, { name: scene.unused("key"), scopes, ...more });
    return { apiKey: given(apiKey), key, call: createCaller(scene.way, scene.fleet.url, key) };
  };

  test("a key is shown once, kept as a hash, and opens what its scopes say", async () => {
    const { apiKey, key, call } = await make([Scope.USERS_READ, Scope.AUDIT_READ]);
    expect(apiKey.scopes).toEqual([Scope.USERS_READ, Scope.AUDIT_READ]);
    expect(await call(operators.getCaller, {})).toMatchObject({
      actor: `operator-key:${apiKey.id}`,
      scopes: apiKey.scopes,
    });
    expect((await call(UserService.method.listUsers, {})).nextPageToken).toBe("");
    await refused(call(UserService.method.createUser, { name: "a" }), Code.PermissionDenied, 403, "SCOPE_MISSING");
    await refused(call(operators.listApiKeys, {}), Code.PermissionDenied, 403, "SCOPE_MISSING");
    const row = await scene.fleet.database.db
      .selectFrom("operator_key")
      .selectAll()
      .where("id", "=", Number(apiKey.id))
      .executeTakeFirstOrThrow();
    expect(Buffer.from(row.hash)).toEqual(hashOf(key));
    const shown = [
      await scene.call(operators.getApiKey, { id: apiKey.id }),
      await scene.call(operators.listApiKeys, {}),
      await call(AuditService.method.listAuditEntries, {}),
    ];
    const text = JSON.stringify(shown, (_, value) => (typeof value === "bigint" ? `${value}` : value));
    for (const secret of [key, key.slice(3)]) {
      expect(text).not.toContain(secret);
      expect(scene.fleet.log()).not.toContain(secret);
    }
    expect(await scene.actions(`operator-key:${apiKey.id}`)).toEqual(["api-key.create"]);
  });

  test("keys are listed, the newest first", async () => {
    const [one, other] = [await make([Scope.USAGE_READ]), await make([Scope.USAGE_READ])];
    const { apiKeys, nextPageToken: pageToken } = await scene.call(operators.listApiKeys, { pageSize: 1 });
    expect(apiKeys).toEqual([other.apiKey]);
    expect((await scene.call(operators.listApiKeys, { pageSize: 1, pageToken })).apiKeys).toEqual([one.apiKey]);
  });

  test("nobody gives or takes scopes that they do not have", async () => {
    const deputy = await make([Scope.OPERATORS_WRITE, Scope.USERS_WRITE]);
    const create = (scopes: Scope[]) => deputy.call(operators.createApiKey, { name: "x", scopes });
    await refused(create([Scope.NODES_READ]), Code.PermissionDenied, 403, "SCOPE_MISSING");
    await refused(create([Scope.ALL]), Code.PermissionDenied, 403, "SCOPE_MISSING");
    const { apiKey } = await create([Scope.USERS_READ, Scope.OPERATORS_READ]);
    const master = await make([Scope.ALL]);
    const revoke = (id: bigint) => deputy.call(operators.revokeApiKey, { id });
    await refused(revoke(master.apiKey.id), Code.PermissionDenied, 403, "SCOPE_MISSING");
    await revoke(given(apiKey).id);
    expect((await master.call(operators.getCaller, {})).scopes).toEqual([Scope.ALL]);
  });

  test("a revoked key is refused, for good", async () => {
    const { apiKey, call } = await make([Scope.USERS_READ]);
    const revoked = await scene.call(operators.revokeApiKey, { id: apiKey.id });
    expect(revoked.apiKey?.revokedAt).toEqual(timestampFromMs(scene.fleet.time));
    await refused(call(operators.getCaller, {}), Code.Unauthenticated, 401, "AUTH_INVALID");
    scene.fleet.time += 1;
    expect(await scene.call(operators.revokeApiKey, { id: apiKey.id })).toEqual(revoked);
    expect(await scene.actions(`operator-key:${apiKey.id}`)).toEqual(["api-key.revoke", "api-key.create"]);
  });

  test("the last key that allows everything stays", async () => {
    const { apiKey } = await make([Scope.ALL]);
    const { db } = scene.fleet.database;
    const others = await db
      .selectFrom("operator_key")
      .select(["id", "expires_at"])
      .where("id", "!=", Number(apiKey.id))
      .execute();
    await db
      .updateTable("operator_key")
      .set({ expires_at: scene.fleet.time + 1e9 })
      .where("id", "!=", Number(apiKey.id))
      .execute();
    await refused(scene.call(operators.revokeApiKey, { id: apiKey.id }), Code.FailedPrecondition, 409, "API_KEY_LAST");
    for (const { id, expires_at } of others)
      await db.updateTable("operator_key").set({ expires_at }).where("id", "=", id).execute();
    await scene.call(operators.revokeApiKey, { id: apiKey.id });
  });

  test.each([
    ["no name", { scopes: [Scope.ALL] }, "INVALID_ARGUMENT"],
    ["a long name", { name: "x".repeat(129), scopes: [Scope.ALL] }, "INVALID_ARGUMENT"],
    ["no scopes", { name: "bad" }, "INVALID_ARGUMENT"],
    ["a scope twice", { name: "bad", scopes: [Scope.ALL, Scope.ALL] }, "INVALID_ARGUMENT"],
    ["no scope among them", { name: "bad", scopes: [Scope.UNSPECIFIED] }, "INVALID_ARGUMENT"],
    ["an end in the past", { name: "bad", scopes: [Scope.ALL], expiresAt: timestampFromMs(1) }, "FIELD_INVALID"],
  ])("a key with %s is refused", async (_what, request, name) => {
    await refused(scene.call(operators.createApiKey, request), Code.InvalidArgument, 400, name);
    const named = await scene.fleet.database.db
      .selectFrom("operator_key")
      .select("id")
      .where("name", "=", "bad")
      .execute();
    expect(named).toEqual([]);
  });

  test("an unknown key is told as such by every call, and a caller without one is refused", async () => {
    for (const method of [operators.getApiKey] as const)
      await refused(scene.call(method, { id: 999_999n }), Code.NotFound, 404, "API_KEY_UNKNOWN");
    await refused(scene.call(operators.revokeApiKey, { id: 999_999n }), Code.NotFound, 404, "API_KEY_UNKNOWN");
    for (const key of ["", "ok_", `ok_${"A".repeat(43)}`]) {
      const call = createCaller(scene.way, scene.fleet.url, key);
      await refused(call(operators.getCaller, {}), Code.Unauthenticated, 401, "AUTH_INVALID");
    }
  });

  test("the audit log is found by actor, kind of action, target and time", async () => {
    const { audit } = { audit: AuditService.method.listAuditEntries };
    const { call, apiKey } = await make([Scope.USERS_WRITE, Scope.AUDIT_READ]);
    scene.fleet.time += 60_000;
    const { user } = await call(UserService.method.createUser, { name: scene.unused("audited") });
    const target = `user:${given(user).id}`;
    await call(UserService.method.deleteUser, { id: given(user).id });
    const actor = `operator-key:${apiKey.id}`;
    const { entries } = await scene.call(audit, { actor });
    expect(entries).toMatchObject([
      { action: "user.delete", target, actor, occurredAt: timestampFromMs(scene.fleet.time) },
      { action: "user.create", target, actor },
    ]);
    expect(JSON.parse(entries[1]?.details ?? "")).toEqual({ name: user?.name, enabled: true });
    const list = async (more: object) => (await scene.call(audit, { actor, ...more })).entries;
    expect(await list({ action: "user" })).toEqual(entries);
    expect(await list({ action: "user.create" })).toEqual(entries.slice(1));
    expect(await list({ action: "use" })).toEqual([]);
    expect(await list({ target: "user:0" })).toEqual([]);
    expect(await list({ from: timestampFromMs(scene.fleet.time) })).toEqual(entries);
    expect(await list({ to: timestampFromMs(scene.fleet.time) })).toEqual([]);
    const { nextPageToken: pageToken } = await scene.call(audit, { actor, pageSize: 1 });
    expect(await list({ pageSize: 1, pageToken })).toEqual(entries.slice(1));
  });
});
