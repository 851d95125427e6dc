import { createContextKey } from "@connectrpc/connect";
import { type Delivery, immediateDelivery } from "../listener/delivery.ts";
import { noPeer, type Peer } from "../listener/peer.ts";

/** Who calls. */
export const kPeer = createContextKey<Peer>(noPeer, { description: "peer" });

/** The id under which the call is logged, and which is answered in `x-request-id`. */
export const kRequestId = createContextKey<string>("", { description: "request id" });

/** Whether the reply arrives. Costs nothing to those who do not ask. */
export const kDelivery = createContextKey<Delivery>(immediateDelivery, { description: "delivery" });

/** The API protocol where the content type does not tell it: `rest`. */
export const kProtocol = createContextKey<string>("", { description: "protocol" });
