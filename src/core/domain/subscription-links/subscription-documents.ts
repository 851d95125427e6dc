import { hashSubscriptionToken } from "../fleet/subscription-token.ts";
import type { Pace } from "../pace.ts";
import { type DocumentHeaders, documentHeaders } from "./document-headers.ts";
import type { Endpoint } from "./endpoint.ts";
import { createEndpointReader } from "./endpoints.ts";
import { type AnswerFormat, type CallerHeaders, chooseFormat } from "./format-choice.ts";
import { formats } from "./formats/formats.ts";
import { shareLink } from "./formats/links/share-link.ts";
import { fileNames, isWireGuard, wireGuardConfig } from "./formats/wireguard/wireguard-config.ts";
import { type Connection, renderPage } from "./page/page.ts";
import type { SubscriptionView, ViewedProtocol } from "./subscription-view.ts";
import { chooseWireGuard } from "./wireguard-choice.ts";

/** Nobody has this link, or it is not to be told whose it was. */
export class SubscriptionLinkUnknown extends Error {
  override readonly name = "SubscriptionLinkUnknown";
  readonly code = "SUBSCRIPTION_LINK_UNKNOWN";

  constructor() {
    super("this link leads to no subscription, or its time is over: ask whoever gave it to you for a new one");
  }
}

/** A subscription, without the protocols that it has. */
export interface FoundSubscription extends Omit<SubscriptionView, "protocols"> {
  readonly id: number;
  /** It has every protocol of every node. */
  readonly allProtocols: boolean;
}

/** What subscription links ask of a store. */
export interface SubscriptionLinkStore {
  /** The subscription of a token, as it is at `now`, in milliseconds since 1970. */
  find(tokenHash: Uint8Array, now: number): Promise<FoundSubscription | undefined>;
  /** The node protocols that it has access to. */
  protocolsOf(found: FoundSubscription): Promise<readonly ViewedProtocol[]>;
  /** Gives it an address of each of these node protocols of WireGuard, where it can have one; returns all that it has. */
  giveAddresses(id: number, nodeProtocolIds: readonly number[]): Promise<SubscriptionView["tunnelNumbers"]>;
}

/** Options of {@link createSubscriptionDocuments}. */
export interface SubscriptionDocumentsOptions {
  store: SubscriptionLinkStore;
  /** The link of a subscription, of the token in it. */
  url: (token: string) => string;
  /** Lets others have a turn while a page is made. */
  pace: Pace;
  /** Milliseconds since 1970. */
  now: () => number;
}

/** A subscription, as it is sent. */
export interface AnsweredSubscription {
  readonly format: AnswerFormat;
  readonly contentType: string;
  readonly document: string;
  readonly headers: DocumentHeaders;
}

/** What subscription links lead to. */
export interface SubscriptionDocuments {
  /**
   * The subscription of a token, in a format, or without one in that for the caller; only one node protocol of it, where
   * one is named. Throws {@link SubscriptionLinkUnknown} for a token that is unknown, and for a subscription that is
   * disabled or over; of WireGuard, whose format tells one endpoint, what {@link chooseWireGuard} throws.
   */
  get(
    token: string,
    format: AnswerFormat | undefined,
    caller: CallerHeaders,
    nodeProtocolId?: number,
  ): Promise<AnsweredSubscription>;
}

/** Reads subscriptions, and writes them. */
export function createSubscriptionDocuments(options: SubscriptionDocumentsOptions): SubscriptionDocuments {
  const { store, url, pace, now } = options;
  const { endpointsOf } = createEndpointReader();
  return {
    async get(token, asked, caller, nodeProtocolId) {
      const found = await store.find(hashSubscriptionToken(token), now());
      if (found === undefined || found.state === "disabled" || found.state === "expired")
        throw new SubscriptionLinkUnknown();
      const format = asked ?? chooseFormat(caller);
      const protocols = await store.protocolsOf(found);
      const missing = tunnelsWithoutAddress(found, protocols);
      const tunnelNumbers = missing.length > 0 ? await store.giveAddresses(found.id, missing) : found.tunnelNumbers;
      const all = endpointsOf({ ...found, protocols, tunnelNumbers });
      const endpoints = nodeProtocolId === undefined ? all : all.filter((one) => one.nodeProtocolId === nodeProtocolId);
      if (format === "wireguard") {
        const chosen = chooseWireGuard(endpoints);
        const headers = documentHeaders(found, format, fileNames(all).get(chosen));
        return { format, contentType: wireGuardType, document: wireGuardConfig(chosen), headers };
      }
      const headers = documentHeaders(found, format);
      if (format !== "page") {
        const { contentType, body } = formats[format](endpoints);
        return { format, contentType, document: body, headers };
      }
      const connections = connectionsOf(endpoints, fileNames(all));
      const document = await renderPage({ view: found, url: url(token), connections, now: now() }, pace);
      return { format, contentType: "text/html; charset=utf-8", document, headers };
    },
  };
}

/** As a file for the apps of WireGuard, and for nothing that a browser would show, or save as text. */
const wireGuardType = "application/x-wireguard-profile; charset=utf-8";

/** A new subscription has no addresses until a config is rendered, and may be fetched before. */
function tunnelsWithoutAddress(found: FoundSubscription, protocols: readonly ViewedProtocol[]): number[] {
  if (!found.links.some(({ protocol, enabled }) => protocol === "wireguard" && enabled)) return [];
  return protocols
    .filter(({ protocol, enabled, node }) => protocol === "wireguard" && enabled && !node.disabled)
    .map(({ id }) => id)
    .filter((id) => !found.tunnelNumbers.has(id));
}

function connectionsOf(endpoints: readonly Endpoint[], files: ReadonlyMap<Endpoint, string>): Connection[] {
  return endpoints.flatMap((endpoint): Connection[] => {
    const { name, access, nodeProtocolId } = endpoint;
    if (isWireGuard(endpoint)) {
      const file = files.get(endpoint) ?? "";
      return [{ name, protocol: access.protocol, config: wireGuardConfig(endpoint), file, nodeProtocolId }];
    }
    const link = shareLink(endpoint);
    return link === undefined ? [] : [{ name, protocol: access.protocol, link }];
  });
}
