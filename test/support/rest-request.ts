import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { request } from "node:https";

/** An HTTP answer, read to its end. */
export interface RestAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
}

/**
 * Makes one HTTP/1.1 request. Unlike fetch it sends a body with GET, as clients of the original do.
 */
export async function restRequest(
  node: { readonly url: string; readonly ca: string },
  verb: string,
  path: string,
  headers: Record<string, string> = {},
  body?: Uint8Array,
): Promise<RestAnswer> {
  const length = body === undefined ? {} : { "content-length": String(body.length) };
  const call = request(new URL(path, node.url), {
    method: verb,
    ca: node.ca,
    headers: { "content-type": "application/x-protobuf", accept: "*/*", ...length, ...headers },
    agent: false,
  });
  call.end(body);
  const [response] = (await once(call, "response")) as [IncomingMessage];
  call.on("error", () => undefined); // a server that refuses a body need not read it
  const read = Buffer.concat(await Array.fromAsync(response));
  return { status: response.statusCode ?? 0, headers: response.headers, body: read, text: read.toString() };
}
