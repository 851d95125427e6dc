// What cannot be done without: an HTTP server that parses JSON and writes the same rows and counters, one transaction for
// each report, as many rows in one statement as pays. No key, no validation, no cursor, nothing that anyone could rely on.
// Argument: the database.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { DatabaseSync } from "node:sqlite";
import pg from "pg";
import { locationOf } from "./open-database.ts";
import { openFleet } from "./usage-database.ts";

interface Entry {
  userId: number;
  subscriptionId: number;
  nodeProtocolId: number;
  bytesUp: number;
  bytesDown: number;
  recordedAt: string;
}

const place = process.argv[2] ?? "";
const location = locationOf(place);
await (await openFleet(place)).close();
const write = location.url === undefined ? sqliteWriter(location.file) : postgresWriter(location.url);
const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", async () => {
    if (chunks.length > 0) {
      const { entries } = JSON.parse(Buffer.concat(chunks).toString()) as { entries: Entry[] };
      await write(entries);
    }
    response.setHeader("content-type", "application/json");
    response.end('{"ok":true}');
  });
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
process.once("SIGTERM", () => process.exit());

function insertInto(rows: string): string {
  return `insert into usage_minute
      (minute, node_id, node_protocol_id, account_id, subscription_id, link_uuid, bytes_up, bytes_down, late, coarse)
    select v.a, v.b, v.b, v.c, v.d, '', v.e, v.f, 0, 0 from ${rows} where true
    on conflict (node_id, minute, node_protocol_id, account_id, subscription_id, link_uuid) do update set
      bytes_up = usage_minute.bytes_up + excluded.bytes_up, bytes_down = usage_minute.bytes_down + excluded.bytes_down`;
}

function updateFrom(rows: string): string {
  return `update subscription set bytes_up = bytes_up + v.b, bytes_down = bytes_down + v.c,
      period_bytes = period_bytes + v.b + v.c
    from ${rows} where subscription.id = v.a`;
}

function sqliteWriter(file: string): (entries: Entry[]) => void {
  const database = new DatabaseSync(file);
  database.exec("pragma journal_mode = wal; pragma synchronous = full; pragma cache_size = -32768");
  const rows = 50; // divides all batches
  const values = (columns: string) => {
    const row = `(${[...columns].map(() => "?").join(", ")})`;
    const names = [...columns].map((name, index) => `column${index + 1} as ${name}`).join(", ");
    return `(select ${names} from (values ${Array(rows).fill(row).join(", ")})) as v`;
  };
  const insert = database.prepare(insertInto(values("abcdef")));
  const update = database.prepare(updateFrom(values("abc")));
  return (entries) => {
    database.exec("begin immediate");
    for (let from = 0; from < entries.length; from += rows) {
      const part = entries.slice(from, from + rows);
      insert.run(
        ...part.flatMap((entry) => {
          const { nodeProtocolId, userId, subscriptionId, bytesUp, bytesDown } = entry;
          return [minuteOf(entry), nodeProtocolId, userId, subscriptionId, bytesUp, bytesDown];
        }),
      );
      update.run(...part.flatMap(({ subscriptionId, bytesUp, bytesDown }) => [subscriptionId, bytesUp, bytesDown]));
    }
    database.exec("commit");
  };
}

function postgresWriter(url: string): (entries: Entry[]) => Promise<void> {
  const pool = new pg.Pool({ connectionString: url });
  const unnest = (columns: string) =>
    `unnest(${[...columns].map((_, index) => `$${index + 1}::bigint[]`).join(", ")}) as v (${[...columns].join(", ")})`;
  return async (entries) => {
    const of = (value: (entry: Entry) => number) => `{${entries.map(value).join(",")}}`;
    const [id, up, down] = [
      of((entry) => entry.subscriptionId),
      of((entry) => entry.bytesUp),
      of((entry) => entry.bytesDown),
    ];
    const client = await pool.connect();
    await client.query("begin");
    await client.query({
      name: "insert",
      text: insertInto(unnest("abcdef")),
      values: [of(minuteOf), of((entry) => entry.nodeProtocolId), of((entry) => entry.userId), id, up, down],
    });
    // In one order everywhere, or reports about the same users would stop one another.
    await client.query({
      name: "lock",
      text: "select from subscription where id = any($1::bigint[]) order by id for no key update",
      values: [id],
    });
    await client.query({ name: "update", text: updateFrom(unnest("abc")), values: [id, up, down] });
    await client.query("commit");
    client.release();
  };
}

function minuteOf({ recordedAt }: Entry): number {
  const at = Date.parse(recordedAt);
  return at - (at % 60_000);
}
