import { canonicalJson, Verbatim } from "../../../platform/canonical-json.ts";
import { objectOf, readObject } from "./row-json.ts";
import type { LinkRow, NodeRows, ProtocolRow } from "./rows.ts";
import { xrayProtocols } from "./xray-clients.ts";

/** An inbound of Xray whose users are added one by one. */
export interface InboundRenderer {
  /** Adds a user: in the order of the UUIDs of links. */
  add(link: LinkRow): void;
  /** As canonical JSON; undefined when the inbound cannot be without users. */
  rendered(): string | undefined;
}

/** Makes the renderer of an inbound; undefined when Xray does not serve the protocol. */
export function createInboundRenderer(row: ProtocolRow): InboundRenderer | undefined {
  const protocol = xrayProtocols.get(row.protocol);
  if (protocol === undefined) return undefined;
  const what = `the inbound ${row.tag}`;
  const { settings: ownSettings, ...rest } = readObject(row.settings, what);
  const settings = objectOf(ownSettings, `settings of ${what}`);
  const write = protocol.client(settings, `${row.id}.`);
  const clients: string[] = [];
  return {
    add: (link) => void clients.push(write(link)),
    rendered() {
      if (clients.length === 0 && protocol.needsUsers) return undefined;
      return canonicalJson({
        ...rest,
        tag: row.tag,
        listen: row.listen || undefined,
        port: row.port,
        protocol: protocol.name,
        settings: {
          ...(protocol.settings?.(settings) ?? settings),
          users: undefined,
          clients: new Verbatim(`[${clients.join(",")}]`),
        },
      });
    },
  };
}

/** `services.xray` of a config. `inbounds` are canonical JSON. */
export function renderXray(rows: NodeRows, inbounds: readonly string[]): object {
  const outbounds = rows.outbounds
    .filter(({ enabled }) => enabled)
    .sort((a, b) => a.position - b.position || a.id - b.id)
    .map(({ tag, config }) => ({ ...readObject(config, `the outbound ${tag}`), tag }));
  const extra = Object.entries(readObject(rows.extra, "what Xray's config has besides")).filter(
    ([section]) => !ownSections.includes(section.toLowerCase()),
  );
  return {
    inbounds: new Verbatim(`[${inbounds.join(",")}]`),
    outbounds: outbounds.length > 0 ? outbounds : [direct],
    routing: unlessEmpty(readObject(rows.routing, "the routing")),
    extra: unlessEmpty(Object.fromEntries(extra)),
  };
}

/** What a node without outbounds has. */
const direct = { protocol: "freedom", tag: "direct" };

/** Sections that have a place of their own, or are the agent's. */
const ownSections: readonly string[] = ["inbounds", "outbounds", "routing", "api", "stats", "log"];

function unlessEmpty<T extends object>(object: T): T | undefined {
  return Object.keys(object).length > 0 ? object : undefined;
}
