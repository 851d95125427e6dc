import type { ApiDescription } from "../../platform/rest/openapi/openapi.ts";

/** What `/openapi.json` says of the node beside its contract. Loaded when it is asked for: the comments take memory. */
export async function describeNode(version: string): Promise<ApiDescription> {
  const { comments } = await import("../../../gen/comments.ts");
  return {
    title: "Garrison node",
    version,
    comments,
    securitySchemes: {
      key: {
        type: "apiKey",
        in: "header",
        name: "x-api-key",
        description: "The node's key. Decides when it is present.",
      },
      bearer: { type: "http", scheme: "bearer", description: "The node's key, when there is no `x-api-key`." },
    },
  };
}
