import { canonicalJson, Verbatim } from "../../../platform/canonical-json.ts";
import { poolOf } from "../fleet/protocols/wireguard.ts";
import { ownNumber, prefixedOf, singlesOf } from "../wireguard/address-pool.ts";
import { isWireGuardKey } from "../wireguard/wireguard-keys.ts";
import { RowUnreadable, readObject } from "./row-json.ts";
import type { LinkRow, ProtocolRow } from "./rows.ts";

/** The version of the contract since which agents know `services.wireguard`. */
export const wireGuardSince = 2;

/** Makes what renders an interface of WireGuard. Users are added in the order of the UUIDs of links. */
export function createWireGuardRenderer(row: ProtocolRow): { add(link: LinkRow): void; rendered(): string } {
  const what = `the WireGuard interface ${row.tag}`;
  const settings = readObject(row.settings, what);
  const { privateKey, preSharedKey } = settings;
  const pool = poolOf(settings);
  if (pool === undefined || !isWireGuardKey(privateKey)) throw new RowUnreadable(what, "has no key, or no range");
  const users: string[] = [];
  return {
    add({ uuid, publicKey, subscriptionId }) {
      const number = row.numbers?.get(subscriptionId);
      if (number === undefined) return;
      const peerIps = singlesOf(pool, number).map((range) => `"${range}"`);
      users.push(`{"linkUuid":"${uuid}","peerIps":[${peerIps.join(",")}],"publicKey":"${publicKey}"}`);
    },
    rendered: () =>
      canonicalJson({
        nodeProtocolId: row.id,
        tag: row.tag,
        port: row.port,
        privateKey,
        addresses: prefixedOf(pool, ownNumber),
        preSharedKey,
        users: new Verbatim(`[${users.join(",")}]`),
      }),
  };
}
