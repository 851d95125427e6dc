import { Http2ServerRequest } from "node:http2";
import type { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { joined } from "../joined.ts";
import { clientLeft } from "../rpc/call/client-left.ts";
import { tooLarge, wrongContentType } from "./bad-request.ts";
import type { RestBinding } from "./binding.ts";

/** The request announces a body. */
export function hasBody({ raw, headers }: FastifyRequest): boolean {
  const length = headers["content-length"];
  if (length !== undefined) return length !== "0";
  // HTTP/2 need not announce one: only the end of the stream tells.
  return (
    headers["transfer-encoding"] !== undefined || (raw instanceof Http2ServerRequest && !raw.stream.endAfterHeaders)
  );
}

/** Throws when the body comes with a content type or encoding that the route does not take. */
export function checkContentType({ headers }: FastifyRequest, binding: RestBinding): void {
  const { sentences } = binding.errors;
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw wrongContentType(sentences, "sent without content-encoding");
  }
  if (!binding.contentTypeRequired) return;
  const given = headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const wanted: readonly string[] = contentTypes[binding.codec];
  if (!wanted.includes(given)) throw wrongContentType(sentences, contentTypes[binding.codec][0]);
}

/**
 * Reads a body to its end. Throws for one that is, or is announced, larger than the route takes; what remains of it is
 * thrown away.
 */
export function readBody(
  request: Pick<FastifyRequest, "raw" | "headers">,
  binding: Pick<RestBinding, "bodyLimitBytes" | "errors">,
): Promise<Buffer> {
  const source: Readable = request.raw;
  const limitBytes = binding.bodyLimitBytes;
  if (Number(request.headers["content-length"]) > limitBytes) throw tooLarge(binding.errors.sentences, limitBytes);
  // The client may have left while the gate was asked: no event will come any more.
  if (source.destroyed && !source.readableEnded) return Promise.reject(clientLeft());
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  let chunks: Buffer[] = [];
  let sizeBytes = 0;
  source.on("data", (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (sizeBytes <= limitBytes) {
      chunks.push(chunk);
      return;
    }
    chunks = [];
    reject(tooLarge(binding.errors.sentences, limitBytes));
  });
  source.on("end", () => resolve(joined(chunks)));
  const onCut = () => {
    if (!source.readableEnded) reject(clientLeft());
  };
  source.on("error", onCut);
  source.on("close", onCut);
  return promise;
}

/** What a codec's bodies may call themselves; the first is what answers are called. */
export const contentTypes = {
  json: ["application/json"],
  protobuf: ["application/x-protobuf", "application/protobuf", "application/proto"],
} as const;
