import type { Endpoint } from "./endpoint.ts";

/** What a document is written from. */
export interface Profile {
  readonly title: string;
  readonly endpoints: readonly Endpoint[];
}

/** A subscription as a client reads it. */
export interface SubscriptionDocument {
  readonly contentType: string;
  readonly body: string;
  /** The endpoints that are not in it, since clients of the format, or the format, do not know them. */
  readonly leftOut: readonly Endpoint[];
}

/** Writes subscriptions for one kind of client. */
export type WriteDocument = (profile: Profile) => SubscriptionDocument;
