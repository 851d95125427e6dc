import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openDatabase } from "../../platform/storage/database.ts";
import { migrations } from "./migrations.ts";
import { type CoreSchema, int64Columns } from "./schema.ts";

test("what cannot be rounded is read as it was written, and a node takes what is its own along", async () => {
  const directory = await mkdtemp(join(tmpdir(), "garrison-core-"));
  const { db, close } = await openDatabase<CoreSchema>({
    file: join(directory, "core.db"),
    migrations,
    int64: int64Columns,
  });
  const node = await db
    .insertInto("node")
    .values({ name: "a", host: "a.example.org", ip: "192.0.2.1", created_at: 1 })
    .returning("id")
    .executeTakeFirstOrThrow();
  const node_id = node.id;
  const bytes = 2n ** 60n + 1n;
  await db
    .insertInto("node_outbound")
    .values({ node_id, tag: "direct", position: 0, config: "{}", traffic_bytes_up: bytes })
    .execute();
  expect(await db.selectFrom("node_outbound").select("traffic_bytes_up").execute()).toEqual([
    { traffic_bytes_up: bytes },
  ]);
  await db.deleteFrom("node").where("id", "=", node_id).execute();
  expect(await db.selectFrom("node_outbound").selectAll().execute()).toEqual([]);
  await close();
  await rm(directory, { recursive: true });
});
