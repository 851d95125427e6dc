import { ConnectError } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { createNodeClient } from "../../src/client/node-client.ts";

// What runs in the page: it calls a node of another origin, as a panel does.

/** What the page is told to call. */
export interface PageTask {
  url: string;
  key: string;
  protocol: "connect" | "grpc-web";
  /** The page follows the log until a line has this in it. */
  until: string;
}

/** What the page saw. */
export interface PageResult {
  nodeVersion: string;
  started: boolean;
  /** The last line that it followed. */
  line: string;
  /** The call that failed, and how. */
  error?: string;
}

/** What the page offers to the test. */
export interface PageGlobals {
  callNode(task: PageTask): Promise<PageResult>;
  /** The page has got a line of the log, or a call has failed. */
  following?: true;
}

const globals = globalThis as unknown as PageGlobals;
globals.callNode = callNode;

/** Calls GetBaseInfo and follows GetLogs. */
async function callNode({ url, key, protocol, until }: PageTask): Promise<PageResult> {
  const transport = { connect: createConnectTransport, "grpc-web": createGrpcWebTransport }[protocol]({ baseUrl: url });
  const node = createNodeClient({ transport, key });
  const result: PageResult = { nodeVersion: "", started: false, line: "" };
  try {
    const { nodeVersion, started } = await node.getBaseInfo({});
    Object.assign(result, { nodeVersion, started });
    for await (const { detail } of node.getLogs({})) {
      globals.following = true;
      result.line = detail;
      if (detail.includes(until)) break;
    }
  } catch (error) {
    result.error = ConnectError.from(error).message;
    globals.following = true;
  }
  return result;
}
