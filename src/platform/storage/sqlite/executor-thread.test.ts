import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openExecutorThread } from "./executor-thread.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "garrison-thread-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const options = () => ({ file: join(directory, "x.db"), prologue: "", lockTimeoutMs: 10, int64: ["total"] });

test("values, and what SQLite says of an error, come through as in the thread itself", async () => {
  const executor = await openExecutorThread(options());
  await executor.exec("create table t (id integer primary key, data blob, total integer)");
  const row = [1, new Uint8Array([1, 2]), 2n ** 62n];
  expect(await executor.execute("insert into t values (?, ?, ?)", row)).toMatchObject({ changed: 1, rows: [] });
  expect(await executor.execute("select * from t", [])).toEqual({
    rows: [{ id: 1n, data: new Uint8Array([1, 2]), total: 2n ** 62n }],
    changed: undefined,
    readsBigInts: true,
  });
  await expect(executor.execute("insert into t values (?, ?, ?)", row)).rejects.toMatchObject({
    message: "UNIQUE constraint failed: t.id",
    code: "ERR_SQLITE_ERROR",
    errcode: 1555,
  });
  await executor.close();
});

test("requests are answered in their order, also those that are asked at once", async () => {
  const executor = await openExecutorThread(options());
  const asked = Array.from({ length: 50 }, (_, n) => executor.execute("select ? as n", [n]));
  expect((await Promise.all(asked)).map(({ rows }) => rows[0]?.n)).toEqual(asked.map((_, n) => n));
  await executor.close();
});

test("a file that cannot be opened is told, and nothing is left of the thread", async () => {
  await expect(openExecutorThread({ ...options(), file: directory })).rejects.toThrow("unable to open database file");
});

test("whoever asks after the end is told", async () => {
  const executor = await openExecutorThread(options());
  await executor.close();
  await expect(executor.exec("select 1")).rejects.toThrow("the thread of the database has ended");
});
