import { readFile } from "node:fs/promises";
import { ConnectError } from "@connectrpc/connect";
import { startRealNode } from "../callers/real-node.ts";
import type { NetworkNamespace } from "../support/network-namespace.ts";
import { apiProtocols, type NodeAddress, type NodeCaller, RestError } from "../support/node-caller.ts";
import { restRequest } from "../support/rest-request.ts";

// The checks of this folder ask `garrison node` what clients of the original rely on. Each names its number in the list
// that was compiled from those clients and from the original.

/** A node that runs as a process of its own, and how it is called. */
export interface CompatNode extends NodeAddress {
  readonly pid: number;
  /** The directory that it was started in, which is removed with it. */
  readonly directory: string;
  readonly grpc: NodeCaller;
  readonly rest: NodeCaller;
  /** A REST request with the key, unless the headers say otherwise. */
  request: (
    verb: string,
    path: string,
    headers?: Record<string, string>,
    body?: Uint8Array,
  ) => ReturnType<typeof restRequest>;
  /** What it logged so far. */
  log(): string;
  /** Ends it with SIGTERM, and waits until it has. */
  close(): Promise<void>;
}

/** Starts a node, in a network of its own if there is one. */
export async function startNode(
  variables: Record<string, string> = {},
  network?: NetworkNamespace,
): Promise<CompatNode> {
  const host = network?.inside[0]?.v4;
  const real = await startRealNode({ ...(host !== undefined && { NODE_HOST: host }), ...variables }, network?.enter);
  const address: NodeAddress = { url: real.url, key: real.key, ca: await readFile(real.certificate, "utf8") };
  return {
    ...address,
    pid: real.pid,
    directory: real.directory,
    grpc: callerOver("gRPC", address),
    rest: callerOver("REST", address),
    request: (verb, path, headers = { "x-api-key": address.key }, body) =>
      restRequest(address, verb, path, headers, body),
    log: () => real.log.join("\n"),
    close: () => real.close(),
  };
}

/** A caller over one of the API's protocols. */
export function callerOver(protocol: string, address: NodeAddress): NodeCaller {
  const found = apiProtocols.find(({ name }) => name === protocol);
  if (found === undefined) throw new Error(`no protocol ${protocol}`);
  return found.caller(address);
}

/** How a call failed: a gRPC code or an HTTP status, and the text. */
export interface Failure {
  readonly code?: number;
  readonly status?: number;
  readonly text: string;
}

/** The failure of a call that must fail. */
export async function failureOf(call: Promise<unknown>): Promise<Failure> {
  try {
    await call;
  } catch (error) {
    if (error instanceof RestError) return { status: error.status, text: error.message };
    const { code, rawMessage } = ConnectError.from(error);
    return { code, text: rawMessage };
  }
  throw new Error("the call was answered");
}
