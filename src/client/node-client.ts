import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { NodeService } from "../../gen/service/node_pb.ts";

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
  return createClient(NodeService, withHeader(transport, "authorization", `Bearer ${key}`));
}

function withHeader(transport: Transport, name: string, value: string): Transport {
  const add = (header: ConstructorParameters<typeof Headers>[0]) => {
    const headers = new Headers(header);
    headers.set(name, value);
    return headers;
  };
  return {
    unary: (method, signal, timeoutMs, header, input, values) =>
      transport.unary(method, signal, timeoutMs, add(header), input, values),
    stream: (method, signal, timeoutMs, header, input, values) =>
      transport.stream(method, signal, timeoutMs, add(header), input, values),
  };
}
