import { canonicalJson, Verbatim } from "../../../platform/canonical-json.ts";
import { objectOf, readObject } from "./row-json.ts";
import type { LinkRow, ProtocolRow } from "./rows.ts";

/** An MTProto inbound as canonical JSON. `users` are those of {@link mtprotoUser}. */
export function renderMtprotoInbound(row: ProtocolRow, users: readonly string[]): string {
  const what = `the MTProto inbound ${row.tag}`;
  const { modes, tlsDomains, settings } = readObject(row.settings, what);
  const further = objectOf(settings, `settings of ${what}`);
  const domains = texts(tlsDomains);
  const known = texts(modes).filter((mode) => mtprotoModes.includes(mode));
  return canonicalJson({
    nodeProtocolId: row.id,
    listen: row.listen || undefined,
    port: row.port,
    modes: known.length > 0 ? known : [domains.length > 0 ? "tls" : "secure"],
    tlsDomains: domains.length > 0 ? domains : undefined,
    users: new Verbatim(`[${users.join(",")}]`),
    settings: Object.keys(further).length > 0 ? further : undefined,
  });
}

/** A user of MTProto as canonical JSON. */
export function mtprotoUser({ uuid, secret, deviceLimit }: LinkRow): string {
  const addresses = deviceLimit ? `"maxAddresses":${deviceLimit},` : "";
  return `{"linkUuid":"${uuid}",${addresses}"secret":${JSON.stringify(secret.toLowerCase())}}`;
}

/** The spellings of `MtProtoMode`. */
const mtprotoModes: readonly string[] = ["classic", "secure", "tls"];

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((element) => typeof element === "string") : [];
}
