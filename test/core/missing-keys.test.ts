import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isWireGuardKey, publicKeyOf } from "../../src/core/domain/wireguard/wireguard-keys.ts";
import { migrations } from "../../src/core/store/migrations.ts";
import { openCoreDatabase } from "../../src/core/store/open.ts";
import { type CoreSchema, int64Columns } from "../../src/core/store/schema.ts";
import { openDatabase } from "../../src/platform/storage/database.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { addUsers } from "./fleet-rows.ts";
import { engines, type SharedDatabase, shareDatabase } from "./shared-database.ts";

const others = ["vless", "vmess", "trojan", "shadowsocks", "hysteria2", "mtproto"];

describe.each(engines)("a database on %s from before WireGuard", (engine) => {
  let shared: SharedDatabase;
  beforeAll(async () => {
    shared = await shareDatabase(engine);
  });
  afterAll(() => shared.close());

  const open = () => {
    const { location } = shared;
    const [url, dataDir] = "url" in location ? [location.url, ""] : [undefined, dirname(location.file)];
    return openCoreDatabase({ url, dataDir, log: createLog("core", "silent") });
  };
  const openBefore = () =>
    openDatabase<CoreSchema>({
      ...shared.location,
      schema: "core",
      migrations: migrations.filter(({ name }) => name < "0005"),
      int64: int64Columns,
    });
  const readLinks = async () => {
    const database = await open();
    const links = await database.db.selectFrom("link").selectAll().where("protocol", "=", "wireguard").execute();
    await database.close();
    return links.sort((one, other) => one.subscription_id - other.subscription_id);
  };

  test("gives keys to whoever has every other protocol, once; nobody else gets or loses any", async () => {
    const before = await openBefore();
    const everything = await addUsers(before, 1_002, others);
    await addUsers(before, 1, others.slice(1));
    const [withKey = 0] = await addUsers(before, 1, [...others.slice(1), "wireguard"]);
    await before.close();

    const links = await readLinks();
    expect(links.map(({ subscription_id }) => subscription_id)).toEqual([...everything, withKey]);
    const made = links.slice(0, -1);
    for (const { uuid, secret, public_key, enabled } of made) {
      expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(isWireGuardKey(secret)).toBe(true);
      expect(enabled).toBe(1);
      expect(public_key).not.toBe("");
    }
    expect(made.map(({ secret }) => publicKeyOf(secret))).toEqual(made.map(({ public_key }) => public_key));
    expect(new Set(made.map(({ secret }) => secret)).size).toBe(made.length);
    expect(await readLinks()).toEqual(links);
  });
});
