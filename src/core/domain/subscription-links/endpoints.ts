import type { Endpoint } from "./endpoint.ts";
import { createEndpointNames } from "./endpoint-names.ts";
import { type Inbound, readInbound } from "./reading/inbound.ts";
import type { SubscriptionView, ViewedProtocol } from "./subscription-view.ts";

/** Options of {@link createEndpointReader}. */
export interface EndpointReaderOptions {
  /** Of how many node protocols it remembers what it has read; past that the oldest is forgotten. */
  readonly capacity?: number;
}

/** Reads from what is stored how a user can connect. */
export interface EndpointReader {
  /**
   * One endpoint for each node protocol that the subscription has an enabled link for, in the order of their nodes and
   * of their ids. Disabled nodes, protocols and links are left out, and what no client could be told. A node that
   * drains is left out of subscriptions that were created since, which it does not let in. In older ones it comes last,
   * and is marked: whoever uses it, and whose client fetches the subscription anew, is not to lose it before the
   * operator disables it. The subscription's state is not looked at.
   */
  endpointsOf(view: SubscriptionView): Endpoint[];
}

/** Makes a reader. It remembers what settings say, since keys and certificates in them are costly to read. */
export function createEndpointReader({ capacity = 10_000 }: EndpointReaderOptions = {}): EndpointReader {
  const known = new Map<number, { readonly of: ViewedProtocol; readonly inbound: Inbound | undefined }>();

  function inboundOf(protocol: ViewedProtocol): Inbound | undefined {
    const found = known.get(protocol.id);
    if (found !== undefined && saysTheSame(found.of, protocol)) return found.inbound;
    const inbound = readInbound(protocol);
    known.delete(protocol.id); // to the end of the order in which it is forgotten
    known.set(protocol.id, { of: protocol, inbound });
    const [oldest] = known.keys();
    if (known.size > capacity && oldest !== undefined) known.delete(oldest);
    return inbound;
  }

  return {
    endpointsOf({ links, protocols, createdAt, tunnelNumbers }) {
      const nameOf = createEndpointNames();
      const usable = new Map(links.filter(({ enabled }) => enabled).map((link) => [link.protocol, link]));
      return protocols
        .filter(({ enabled, node }) => enabled && !node.disabled && createdAt < (node.drainingSince ?? Infinity))
        .sort(inOrder)
        .flatMap((protocol) => {
          const link = usable.get(protocol.protocol);
          const inbound = link && inboundOf(protocol);
          if (link === undefined || inbound === undefined) return [];
          const { accessOf, ...rest } = inbound;
          const { id, node, remark, tag } = protocol;
          const access = accessOf(link, tunnelNumbers.get(id));
          if (access === undefined) return [];
          return {
            ...rest,
            nodeId: node.id,
            nodeProtocolId: id,
            name: nameOf(remark || `${node.name} ${tag}`),
            draining: node.drainingSince !== null,
            access,
          };
        });
    },
  };
}

/** Draining nodes last. */
function inOrder(a: ViewedProtocol, b: ViewedProtocol): number {
  const drains = Number(a.node.drainingSince !== null) - Number(b.node.drainingSince !== null);
  return drains || a.node.id - b.node.id || a.id - b.id;
}

function saysTheSame(a: ViewedProtocol, b: ViewedProtocol): boolean {
  return (
    a.settings === b.settings && a.linkSettings === b.linkSettings && a.node.host === b.node.host && a.port === b.port
  );
}
