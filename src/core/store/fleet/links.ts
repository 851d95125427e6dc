import type { Transaction } from "kysely";
import type { VpnProtocol } from "../../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { makeLinkCredential } from "../../domain/fleet/link-credentials.ts";
import { type ServedProtocol, servedProtocol, servedProtocols } from "../../domain/fleet/protocols/settings.ts";
import type { Random } from "../../domain/fleet/random.ts";
import type { CoreSchema } from "../schema.ts";
import { protocolWords } from "./protocol-words.ts";

/** The protocols that are meant: all when none is named. */
export function linkProtocols(named: readonly VpnProtocol[]): readonly ServedProtocol[] {
  if (named.length === 0) return servedProtocols;
  return named.map((value) => servedProtocol(protocolWords.word(value)));
}

/** Gives a subscription credentials for protocols that it has none for. */
export async function addLinks(
  tx: Transaction<CoreSchema>,
  subscriptionId: number,
  protocols: readonly ServedProtocol[],
  random: Random,
): Promise<void> {
  const links = protocols.map((protocol) => ({
    ...credentialColumns(protocol, random),
    protocol,
    subscription_id: subscriptionId,
  }));
  await tx.insertInto("link").values(links).execute();
}

/** Replaces those credentials of a subscription that it has, and tells of which protocols. What is disabled stays so. */
export async function replaceLinks(
  tx: Transaction<CoreSchema>,
  subscriptionId: number,
  protocols: readonly ServedProtocol[],
  random: Random,
): Promise<string[]> {
  const replaced: string[] = [];
  for (const protocol of protocols) {
    const { numUpdatedRows } = await tx
      .updateTable("link")
      .set(credentialColumns(protocol, random))
      .where("subscription_id", "=", subscriptionId)
      .where("protocol", "=", protocol)
      .executeTakeFirst();
    if (numUpdatedRows > 0n) replaced.push(protocol);
  }
  return replaced;
}

function credentialColumns(protocol: ServedProtocol, random: Random) {
  const { uuid, secret, publicKey } = makeLinkCredential(protocol, random);
  return { uuid, secret, public_key: publicKey };
}
