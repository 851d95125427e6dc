import type { IncomingMessage, ServerResponse } from "node:http";
import { clientLeft } from "../call/client-left.ts";
import { openConnectUnary } from "./connect-unary.ts";
import type { ShortMethod } from "./methods.ts";
import { readBody } from "./read-body.ts";
import type { Serving } from "./serving.ts";

/** Serves a unary Connect call over HTTP/1.1. False: it is left to the router, untouched. */
export function serveConnectHttp1(
  serving: Serving,
  method: ShortMethod,
  request: IncomingMessage,
  response: ServerResponse,
  origin: string,
): boolean {
  const { headers } = request;
  const unary = openConnectUnary(serving, method, headers, origin, () => serving.contextValues(request, headers));
  if (unary === undefined) return false;
  response.on("close", () => {
    if (!unary.call.isOver) unary.call.abort(clientLeft());
  });
  const read = () => readBody(request, serving.limits.readMaxBytes, headers["content-length"]);
  unary
    .answer(read)
    .then(({ status, fields, body }) => {
      response.writeHead(status, fields);
      response.end(body);
      if (request.isPaused()) request.resume(); // the next request of the connection is behind the rest
    })
    .catch((error: unknown) => {
      // A header that HTTP refuses, or a client that has left.
      serving.log.debug({ err: error, method: method.path }, "answer not delivered");
      response.destroy();
    });
  return true;
}
