import { createHash } from "node:crypto";
import { canonicalJson, Verbatim } from "../../../platform/canonical-json.ts";
import type { Pace } from "../pace.ts";
import { mtprotoUser, renderMtprotoInbound } from "./mtproto.ts";
import type { LinkRow, NodeRows, ProtocolRow } from "./rows.ts";
import { TermsRenderer } from "./terms.ts";
import { createWireGuardRenderer, wireGuardSince } from "./wireguard.ts";
import { createInboundRenderer, renderXray } from "./xray.ts";

/** A config without its revision. */
export interface RenderedConfig {
  /** The config's JSON, without `revision` and `digest`, as RFC 8785 writes it. */
  readonly content: string;
  /** SHA-256 of it, in lower-case hex. */
  readonly digest: string;
}

/**
 * Renders the config of a node: the same rows give the same bytes, in whatever order they come. A disabled node runs
 * nothing. Throws `RowUnreadable`.
 */
export async function renderConfig(rows: NodeRows, links: readonly LinkRow[], pace: Pace): Promise<RenderedConfig> {
  const inbounds = rows.disabled ? [] : inboundsOf(rows);
  const byProtocol = Map.groupBy(inbounds, ({ row }) => row.protocol);
  const clients: string[] = [];
  const mtprotoClients: string[] = [];
  const terms = new TermsRenderer();
  const newFrom = rows.drainingSince ?? Number.POSITIVE_INFINITY;
  for (const link of sorted(links)) {
    if (link.createdAt >= newFrom) continue;
    const turn = pace();
    if (turn !== undefined) await turn;
    const open = (byProtocol.get(link.protocol) ?? noInbounds).filter(({ row }) => lets(row, link));
    if (open.length === 0) continue;
    for (const { add } of open) add(link);
    const entry = `"${link.uuid}":{"subscriptionId":${link.subscriptionId},"userId":${link.userId}}`;
    clients.push(entry);
    if (link.protocol === "mtproto") mtprotoClients.push(entry);
    terms.add(link);
  }
  const content = canonicalJson({
    clientMap: new Verbatim(`{${clients.join(",")}}`),
    mtprotoClientMap: mtprotoClients.length > 0 ? new Verbatim(`{${mtprotoClients.join(",")}}`) : undefined,
    services: servicesOf(rows, inbounds),
    subscriptionTerms: rows.protocolVersion >= 1 ? terms.rendered() : undefined,
  });
  return { content, digest: await digestOf(content, pace) };
}

/** The digest of a config's content. */
async function digestOf(content: string, pace: Pace): Promise<string> {
  const bytes = Buffer.from(content);
  const hash = createHash("sha256");
  for (let at = 0; at < bytes.length; at += hashedAtOnce) {
    hash.update(bytes.subarray(at, at + hashedAtOnce));
    await pace();
  }
  return hash.digest("hex");
}

const hashedAtOnce = 1 << 20;

interface Inbound {
  readonly row: ProtocolRow;
  readonly engine: "xray" | "mtproto" | "wireguard";
  add(link: LinkRow): void;
  /** Undefined: it is left out. */
  rendered(): string | undefined;
}

const noInbounds: readonly Inbound[] = [];

function lets({ id, numbers }: ProtocolRow, { access, subscriptionId }: LinkRow): boolean {
  return (access?.has(id) ?? true) && (numbers?.has(subscriptionId) ?? true);
}

function inboundsOf({ protocols, protocolVersion }: NodeRows): Inbound[] {
  return protocols
    .filter(({ enabled, protocol }) => enabled && (protocol !== "wireguard" || protocolVersion >= wireGuardSince))
    .sort((a, b) => a.id - b.id)
    .flatMap((row): Inbound[] => {
      if (row.protocol === "mtproto") {
        const users: string[] = [];
        const add = (link: LinkRow) => void users.push(mtprotoUser(link));
        return [{ row, engine: "mtproto", add, rendered: () => renderMtprotoInbound(row, users) }];
      }
      if (row.protocol === "wireguard") return [{ row, engine: "wireguard", ...createWireGuardRenderer(row) }];
      const renderer = createInboundRenderer(row);
      return renderer === undefined ? [] : [{ row, engine: "xray", ...renderer }];
    });
}

function servicesOf(rows: NodeRows, inbounds: readonly Inbound[]): object {
  const ofXray = inbounds.filter(({ engine }) => engine === "xray");
  const ofMtproto = inbounds.filter(({ engine }) => engine === "mtproto").sort((a, b) => a.row.port - b.row.port);
  const ofWireGuard = inbounds.filter(({ engine }) => engine === "wireguard");
  const rendered = (some: readonly Inbound[]) => some.map((one) => one.rendered()).filter((text) => text !== undefined);
  return {
    xray: ofXray.length > 0 ? renderXray(rows, rendered(ofXray)) : undefined,
    mtproto: listed(rendered(ofMtproto)),
    wireguard: listed(rendered(ofWireGuard)),
  };
}

function listed(inbounds: readonly string[]): object | undefined {
  return inbounds.length > 0 ? { inbounds: new Verbatim(`[${inbounds.join(",")}]`) } : undefined;
}

/** By UUID. Links mostly come sorted, for a whole batch of nodes. */
function sorted(links: readonly LinkRow[]): readonly LinkRow[] {
  const isSorted = links.every(({ uuid }, index) => index === 0 || (links[index - 1]?.uuid ?? "") < uuid);
  return isSorted ? links : links.toSorted((a, b) => (a.uuid < b.uuid ? -1 : 1));
}
