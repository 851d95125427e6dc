import type { Endpoint } from "./endpoint.ts";

/** A subscription as a client reads it. */
interface SubscriptionDocument {
  readonly contentType: string;
  readonly body: string;
  /** The endpoints that are not in it, since the format, or its clients, do not know what they use. */
  readonly leftOut: readonly Endpoint[];
}

/** Writes a subscription for one kind of client. */
export type WriteDocument = (endpoints: readonly Endpoint[]) => SubscriptionDocument;
