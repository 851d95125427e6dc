import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { clientLeft } from "../call/client-left.ts";
import { openConnectUnary } from "./connect-unary.ts";
import { answerHeader } from "./http2-answer.ts";
import type { ShortMethod } from "./methods.ts";
import { readBody } from "./read-body.ts";
import type { Serving } from "./serving.ts";

/** Serves a unary Connect call over HTTP/2. False: it is left to the router, untouched. */
export function serveConnectHttp2(
  serving: Serving,
  method: ShortMethod,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  origin: string,
): boolean {
  const unary = openConnectUnary(serving, method, headers, origin, () => serving.contextValues(stream, headers));
  if (unary === undefined) return false;
  stream.on("close", () => {
    if (!unary.call.isOver) unary.call.abort(clientLeft());
  });
  const read = () => readBody(stream, serving.limits.readMaxBytes, headers["content-length"]);
  unary
    .answer(read)
    .then(({ status, fields, body }) => {
      if (stream.closed || stream.destroyed) return;
      stream.respond(answerHeader({ ":status": status, ...fields }));
      stream.end(body);
      if (!stream.readableEnded) stream.resume();
    })
    .catch((error: unknown) => {
      serving.log.debug({ err: error, method: method.path }, "answer not delivered");
      stream.close(constants.NGHTTP2_INTERNAL_ERROR); // a header that HTTP/2 refuses
    });
  return true;
}
