import { cors } from "@connectrpc/connect";
import fastifyCors from "@fastify/cors";
import type { FastifyInstance } from "fastify";
import { machineCodeHeader } from "../rpc/public-error.ts";

/**
 * Lets pages of the given origins call from a browser: preflights are answered before the gate, and the headers of
 * Connect and gRPC-Web are exposed. Without origins nothing is mounted, and browsers refuse other origins' pages.
 */
export async function mountCors(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  if (origins.length === 0) return;
  await app.register(fastifyCors, {
    origin: [...origins],
    methods: [...cors.allowedMethods, "PUT", "PATCH", "DELETE"],
    allowedHeaders: [
      ...cors.allowedHeaders,
      "Authorization",
      "X-Api-Key",
      "X-Request-Id",
      "If-None-Match",
      "Last-Event-ID",
    ],
    exposedHeaders: [...cors.exposedHeaders, "X-Request-Id", "ETag", "Retry-After", machineCodeHeader],
    maxAge: 86_400,
    strictPreflight: false,
  });
}
