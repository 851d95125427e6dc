import { expect } from "vitest";
import type { Endpoint } from "../../src/core/domain/subscription-links/endpoint.ts";
import { createEndpointReader } from "../../src/core/domain/subscription-links/endpoints.ts";
import type {
  SubscriptionView,
  ViewedLink,
  ViewedProtocol,
} from "../../src/core/domain/subscription-links/subscription-view.ts";

// Subscriptions as documents are written from, with what tests do not name as it usually is.

/** A protocol of the node `fra-1`. */
export function protocol(
  id: number,
  more: Partial<Omit<ViewedProtocol, "node" | "settings">> = {},
  settings: object = {},
): ViewedProtocol {
  return {
    id,
    protocol: "vless",
    tag: `in-${id}`,
    remark: "",
    port: 1000 + id,
    enabled: true,
    linkSettings: "{}",
    ...more,
    settings: JSON.stringify(settings),
    node: { id: 1, name: "fra-1", host: "fra.example.org", disabled: false, drainingSince: null },
  };
}

/** A protocol, of another node. */
export function on(node: Partial<ViewedProtocol["node"]>, given: ViewedProtocol): ViewedProtocol {
  return { ...given, node: { ...given.node, ...node } };
}

/** A link of a kind of protocols. */
export function link(kind: string, more: Partial<ViewedLink> = {}): ViewedLink {
  return { protocol: kind, uuid: "11111111-1111-4111-8111-111111111111", secret: "secret", enabled: true, ...more };
}

/** A subscription with protocols, by default with a link of VLESS. `createdAt`: milliseconds since 1970. */
export function view(protocols: ViewedProtocol[], links = [link("vless")], createdAt = 1_000): SubscriptionView {
  return {
    title: "",
    state: "active",
    createdAt,
    bytesUp: 0n,
    bytesDown: 0n,
    periodBytes: 0n,
    quotaBytes: null,
    expiresAt: null,
    links,
    protocols,
    tunnelNumbers: new Map(),
  };
}

/** The endpoints of a {@link view}. */
export function endpointsOf(...given: Parameters<typeof view>): Endpoint[] {
  return createEndpointReader().endpointsOf(view(...given));
}

/** The endpoint of a {@link view} that has one. */
export function only(...given: Parameters<typeof view>): Endpoint {
  const [endpoint, ...others] = endpointsOf(...given);
  expect(others).toEqual([]);
  return endpoint ?? expect.fail("there is no endpoint");
}
