import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { NodeService } from "../../gen/service/node_pb.ts";
import { withKey } from "./with-key.ts";

export * from "../../gen/service/node_pb.ts";

/** Options of {@link createNodeClient}. */
export interface NodeClientOptions {
  /**
   * Reaches the node: `createConnectTransport`, `createGrpcWebTransport` or `createGrpcTransport` of
   * `@connectrpc/connect-node`, or in a browser one of the first two of `@connectrpc/connect-web`.
   */
  transport: Transport;
  /** The node's key. */
  key: string;
}

/** Calls a node. Every call carries the key; it fails with a `ConnectError`. */
export type NodeClient = Client<typeof NodeService>;

/** Makes a client of the node's own API, for Node.js and browsers alike. */
export function createNodeClient({ transport, key }: NodeClientOptions): NodeClient {
  return createClient(NodeService, withKey(transport, key));
}
