import type { ApiDescription } from "../../platform/rest/openapi/openapi.ts";

/** What `/openapi.json` says of Core beside its contract. Loaded when it is asked for: the comments take memory. */
export async function describeCore(version: string): Promise<ApiDescription> {
  const { comments } = await import("../../../gen/comments.ts");
  return {
    title: "Garrison Core",
    version,
    comments,
    securitySchemes: {
      operator: { type: "http", scheme: "bearer", description: "The API key of an operator." },
      node: {
        type: "apiKey",
        in: "header",
        name: "x-node-auth-key",
        description: "The key of a node, for NodeAgentService only.",
      },
    },
  };
}
