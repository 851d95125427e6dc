import { Code, ConnectError } from "@connectrpc/connect";
import type { FastifyReply, FastifyRequest } from "fastify";
import { PublicError } from "./public-error.ts";

/** Answers an error in REST, in the form that the API documents. */
export type RestErrorWriter = (request: FastifyRequest, reply: FastifyReply, error: PublicError) => unknown;

/**
 * Answers a request that reached no handler with an error, in the form that its caller's protocol expects: a gRPC or
 * gRPC-Web status, a Connect error, else the form of the REST API.
 */
export function answerUnrouted(
  request: FastifyRequest,
  reply: FastifyReply,
  cause: unknown,
  rest: RestErrorWriter,
): unknown {
  const error = cause instanceof PublicError ? cause : toPublic(cause);
  const type = request.headers["content-type"] ?? "";
  if (type.startsWith("application/grpc")) {
    return reply
      .code(200)
      .headers({
        "content-type": type,
        "grpc-status": String(error.code),
        "grpc-message": encodeURIComponent(error.rawMessage),
      })
      .send();
  }
  if (type.startsWith("application/connect+") || type === "application/proto" || isConnect(request)) {
    const code = Code[error.code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase();
    const body = JSON.stringify({ code, message: error.rawMessage });
    return reply.code(error.httpStatus).type("application/json").send(body);
  }
  return rest(request, reply, error);
}

function isConnect(request: FastifyRequest): boolean {
  return request.headers["connect-protocol-version"] !== undefined;
}

function toPublic(cause: unknown): PublicError {
  return cause instanceof ConnectError
    ? new PublicError(cause.rawMessage, cause.code)
    : new PublicError("internal error", Code.Internal, { cause });
}
