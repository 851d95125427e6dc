import { hashSubscriptionToken } from "../fleet/subscription-token.ts";
import type { Pace } from "../pace.ts";
import { type DocumentHeaders, documentHeaders } from "./document-headers.ts";
import type { Endpoint } from "./endpoint.ts";
import { createEndpointReader } from "./endpoints.ts";
import { type AnswerFormat, type CallerHeaders, chooseFormat } from "./format-choice.ts";
import { formats } from "./formats/formats.ts";
import { shareLink } from "./formats/links/share-link.ts";
import { type Connection, renderPage } from "./page/page.ts";
import type { SubscriptionView, ViewedProtocol } from "./subscription-view.ts";

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
   * The subscription of a token, in a format, or without one in that for the caller. Throws
   * {@link SubscriptionLinkUnknown} for a token that is unknown, and for a subscription that is disabled or over.
   */
  get(token: string, format: AnswerFormat | undefined, caller: CallerHeaders): Promise<AnsweredSubscription>;
}

/** Reads subscriptions, and writes them. */
export function createSubscriptionDocuments(options: SubscriptionDocumentsOptions): SubscriptionDocuments {
  const { store, url, pace, now } = options;
  const { endpointsOf } = createEndpointReader();
  return {
    async get(token, asked, caller) {
      const found = await store.find(hashSubscriptionToken(token), now());
      if (found === undefined || found.state === "disabled" || found.state === "expired")
        throw new SubscriptionLinkUnknown();
      const format = asked ?? chooseFormat(caller);
      const endpoints = endpointsOf({ ...found, protocols: await store.protocolsOf(found) });
      const headers = documentHeaders(found, format);
      if (format !== "page") {
        const { contentType, body } = formats[format](endpoints);
        return { format, contentType, document: body, headers };
      }
      const connections = connectionsOf(endpoints);
      const document = await renderPage({ view: found, url: url(token), connections, now: now() }, pace);
      return { format, contentType: "text/html; charset=utf-8", document, headers };
    },
  };
}

function connectionsOf(endpoints: readonly Endpoint[]): Connection[] {
  return endpoints.flatMap((endpoint) => {
    const link = shareLink(endpoint);
    return link === undefined ? [] : [{ name: endpoint.name, protocol: endpoint.access.protocol, link }];
  });
}
