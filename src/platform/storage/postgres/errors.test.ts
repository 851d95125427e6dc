import { describe, expect, test } from "vitest";
import { connectError, translateError } from "./errors.ts";

const withCode = (code: string, message = "it failed", more: object = {}) =>
  Object.assign(new Error(message), { code }, more);

describe("a connection that cannot be made", () => {
  test.each([
    { error: withCode("ECONNREFUSED", ""), temporary: true, reason: "ECONNREFUSED" },
    { error: withCode("57P03", "the database system is starting up"), temporary: true, reason: "starting up" },
    { error: withCode("53300", "too many clients"), temporary: true, reason: "too many clients" },
    { error: new Error("Connection terminated due to connection timeout"), temporary: true, reason: "timeout" },
    { error: withCode("28P01", "password authentication failed"), temporary: false, reason: "password" },
    { error: withCode("3D000", "no such database"), temporary: false, reason: "no such database" },
    { error: withCode("CERT_HAS_EXPIRED", "certificate has expired"), temporary: false, reason: "expired" },
    { error: new Error("client password must be a string"), temporary: false, reason: "must be a string" },
  ])("because of $error.message $error.code: temporary is $temporary", ({ error, temporary, reason }) => {
    const result = connectError("postgres://db/fleet", error);
    expect(result).toMatchObject({ temporary, target: "postgres://db/fleet" });
    expect(result.message).toContain(reason);
  });
});

describe("an answer of the server", () => {
  test.each([
    { code: "40001", name: "TransactionConflict" },
    { code: "40P01", name: "TransactionConflict" },
    { code: "55P03", name: "DatabaseBusy" },
    { code: "57P01", name: "ConnectionLost" },
    { code: "08006", name: "ConnectionLost" },
    { code: "53100", name: "DatabaseFull" },
    { code: "23503", name: "ForeignKeyViolation" },
    { code: "23502", name: "ConstraintViolation" },
    { code: "0A000", name: "Error" },
    { code: "42601", name: "Error" },
  ])("$code is a $name", ({ code, name }) => {
    expect(translateError(withCode(code))).toMatchObject({ name });
  });

  test.each([
    { detail: "Key (tenant, name)=(1, a)=(b) already exists.", columns: ["tenant", "name"] },
    { detail: "Key (lower(name))=(a) already exists.", columns: ["lower(name)"] },
    { detail: 'Schlüssel »("Name")=(x)« existiert bereits.', columns: ["Name"] },
    { detail: undefined, columns: [] },
  ])("about a unique key with the detail $detail names $columns", ({ detail, columns }) => {
    expect(translateError(withCode("23505", "duplicate", { table: "account", detail }))).toMatchObject({
      table: "account",
      columns,
    });
  });
});
