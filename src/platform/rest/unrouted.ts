import type { DescService } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { FastifyReply, FastifyRequest } from "fastify";
import { PublicError } from "../rpc/public-error.ts";
import { filled } from "./bad-request.ts";
import { type ErrorStyle, ownSentences, type RestBinding } from "./binding.ts";
import { createErrorWriter } from "./error-writer.ts";
import type { Writers } from "./json/writer.ts";
import { errorStyleOf } from "./read-bindings.ts";

/** What answers requests that no route has taken. */
export interface Unrouted {
  /** What is wrong with such a request: 405, with the verbs that would be right, where its path is known; else 404. */
  errorOf(request: FastifyRequest): PublicError;
  /** Answers an error in the form of the API that the request's path belongs to. */
  answer(request: FastifyRequest, reply: FastifyReply, cause: unknown, requestId?: string): FastifyReply;
}

/** Makes the answers for requests that none of the routes has taken. */
export function createUnrouted(
  services: readonly DescService[],
  bindings: readonly RestBinding[],
  writers: Writers,
): Unrouted {
  const fallback = services.map(errorStyleOf).find((style) => style !== undefined) ?? ownStyle;
  const styleOf = (path: string): ErrorStyle => {
    const [nearest] = bindings
      .map(({ path: { text }, errors }) => ({ errors, shared: sharedSegments(text, path) }))
      .sort((a, b) => b.shared - a.shared);
    return nearest === undefined || nearest.shared === 0 ? fallback : nearest.errors;
  };
  return {
    errorOf(request) {
      const path = pathOf(request);
      const there = bindings.filter((binding) => binding.path.matches(path));
      const [first] = there;
      if (first === undefined) return new PublicError(styleOf(path).sentences.notFound, Code.NotFound);
      const verbs = new Set(there.flatMap(verbsOf));
      const allow = [...verbs].sort().join(", ");
      const details = { httpStatus: 405, machineCode: "METHOD_NOT_ALLOWED" };
      const sentence = filled(first.errors.sentences.methodNotAllowed, allow);
      const error = new PublicError(sentence, Code.Unimplemented, details);
      error.metadata.set("allow", allow);
      return error;
    },
    answer(request, reply, cause, requestId = "") {
      const { status, header, body } = createErrorWriter(styleOf(pathOf(request)), writers)(cause, requestId);
      return reply.code(status).headers(header).send(body);
    },
  };
}

// Of a server that has no REST routes.
const ownStyle: ErrorStyle = { form: "json", internalStatus: 500, sentences: ownSentences };

function pathOf(request: FastifyRequest): string {
  return request.url.replace(/\?.*/s, "");
}

function verbsOf({ verb, responseFraming }: RestBinding): string[] {
  return verb === "GET" && responseFraming === undefined ? ["GET", "HEAD"] : [verb];
}

/** How many segments two paths have in common from the left. A variable counts: whatever stands there belongs to it. */
function sharedSegments(template: string, path: string): number {
  const segments = path.slice(1).split("/");
  const wanted = template.slice(1).split("/");
  const different = wanted.findIndex((segment, index) => !segment.startsWith("{") && segment !== segments[index]);
  return Math.min(different === -1 ? wanted.length : different, segments.length);
}
