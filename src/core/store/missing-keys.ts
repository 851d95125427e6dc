import type { Database } from "../../platform/storage/database.ts";
import { makeLinkCredential } from "../domain/fleet/link-credentials.ts";
import type { Random } from "../domain/fleet/random.ts";
import type { CoreSchema } from "./schema.ts";

/**
 * Makes the keys of WireGuard for links that a migration has added: SQL cannot. Nobody else knows of such a link before.
 * What is interrupted goes on at the next start.
 */
export async function makeMissingKeys(database: Database<CoreSchema>, random: Random): Promise<void> {
  const rows = await database.db
    .selectFrom("link")
    .select("uuid as former")
    .where("protocol", "=", "wireguard")
    .where("public_key", "=", "")
    .orderBy("uuid")
    .execute();
  const complete = database.prepare(
    (db, { former, uuid, secret, publicKey }: { former: string; uuid: string; secret: string; publicKey: string }) =>
      db.updateTable("link").set({ uuid, secret, public_key: publicKey }).where("uuid", "=", former),
  );
  for (let at = 0; at < rows.length; at += rowsAtOnce) {
    const links = rows
      .slice(at, at + rowsAtOnce)
      .map(({ former }) => ({ former, ...makeLinkCredential("wireguard", random) }));
    await database.transaction((tx) => complete.runMany(links, tx), { isolation: "read committed" });
  }
}

const rowsAtOnce = 1_000;
