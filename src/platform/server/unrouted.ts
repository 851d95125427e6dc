import { Code, ConnectError } from "@connectrpc/connect";
import type { FastifyReply, FastifyRequest } from "fastify";
import { httpStatusOf, machineCodeOf, PublicError } from "../rpc/public-error.ts";

/** The caller speaks gRPC, gRPC-Web or Connect, whatever it has called. */
export function isRpc({ headers }: FastifyRequest): boolean {
  const type = headers["content-type"] ?? "";
  return (
    type.startsWith("application/grpc") ||
    type.startsWith("application/connect+") ||
    type === "application/proto" ||
    headers["connect-protocol-version"] !== undefined
  );
}

/** To a caller of RPCs a path that nobody serves is a method without an implementation. */
export function unknownMethod(): PublicError {
  return new PublicError("unknown method: reflection lists what there is", Code.Unimplemented, { httpStatus: 404 });
}

/** Answers a call that reached no handler with an error: a gRPC or gRPC-Web status, or a Connect error. */
export function answerRpcError(request: FastifyRequest, reply: FastifyReply, cause: unknown): FastifyReply {
  const error = cause instanceof ConnectError ? cause : new ConnectError("internal error", Code.Internal);
  const type = request.headers["content-type"] ?? "";
  if (type.startsWith("application/grpc")) {
    const status = { "grpc-status": String(error.code), "grpc-message": encodeURIComponent(error.rawMessage) };
    return reply
      .code(200)
      .headers({ "content-type": type, ...status })
      .send();
  }
  const body = JSON.stringify({ code: machineCodeOf(error.code).toLowerCase(), message: error.rawMessage });
  const status = error instanceof PublicError ? error.httpStatus : httpStatusOf(error.code);
  return reply.code(status).type("application/json").send(body);
}
