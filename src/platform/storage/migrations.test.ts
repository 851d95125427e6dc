import { describe, expect, test } from "vitest";
import { DatabaseNewer, MigrationChanged } from "./errors.ts";
import { checkMigrations, stamp } from "./migrations.ts";

const rows = (...names: string[]) => names.map((name) => ({ name, checksum: `sum of ${name}` }));

describe("migrations", () => {
  test.each([
    { applied: [], wanted: [] },
    { applied: [], wanted: ["a", "b"] },
    { applied: ["a"], wanted: ["a", "b"] },
    { applied: ["a", "b"], wanted: ["a", "b"] },
  ])("$applied may become $wanted", ({ applied, wanted }) => {
    expect(() => checkMigrations(rows(...applied), rows(...wanted))).not.toThrow();
  });

  test.each([
    { applied: ["a"], wanted: [], error: DatabaseNewer, names: "a" },
    { applied: ["a", "b", "c"], wanted: ["a"], error: DatabaseNewer, names: "b, c" },
    { applied: ["a"], wanted: ["b"], error: MigrationChanged, names: "a" },
    { applied: ["a", "c"], wanted: ["a", "b", "c"], error: MigrationChanged, names: "c" },
    { applied: ["a"], wanted: ["a", "a"], error: TypeError, names: "a" },
  ])("$applied cannot become $wanted", ({ applied, wanted, error, names }) => {
    const check = () => checkMigrations(rows(...applied), rows(...wanted));
    expect(check).toThrow(error);
    expect(check).toThrow(names);
  });

  test("a text that changed after it was applied is found out", () => {
    expect(() => checkMigrations([{ name: "a", checksum: "1" }], [{ name: "a", checksum: "2" }])).toThrow(
      MigrationChanged,
    );
  });

  test("only what the engine executes counts, not its line ends or the space around it", () => {
    const plain = stamp({ name: "a", sql: "create table t (\n id integer)" }, "sqlite");
    expect(stamp({ name: "a", sql: "\n  create table t (\r\n id integer)\n" }, "sqlite")).toEqual(plain);
    expect(stamp({ name: "a", sql: "create table t (id integer)" }, "sqlite")).not.toEqual(plain);
    const both = { name: "a", sql: { sqlite: "create table t (\n id integer)", postgres: "other" } };
    expect(stamp(both, "sqlite")).toEqual(plain);
    expect(stamp(both, "postgres")).not.toEqual(plain);
  });
});
