import { createContextKey } from "@connectrpc/connect";

/**
 * The body of the answer in REST, where a handler has it written already: it is sent in place of what would be made of the
 * message that the handler returns. How it is encoded is said by the answer's header.
 */
export const kReadyBody = createContextKey<Uint8Array | undefined>(undefined, { description: "ready body" });
