import type { DescService, JsonObject } from "@bufbuild/protobuf";
import type { ServedService } from "../../rpc/served-service.ts";
import { bindingsOfAll } from "../read-bindings.ts";
import { connectOperation, connectParameters, errorResponses, restOperation } from "./operations.ts";
import { type Comments, createSchemas, described } from "./schemas.ts";

/** What an OpenAPI document says beside the contract. */
export interface ApiDescription {
  /** The comments of the contract, by the full name of what they describe: `gen/comments.ts`. */
  comments: Comments;
  title: string;
  version: string;
  /** OpenAPI's security schemes, any one of which opens what is not public. */
  securitySchemes: JsonObject;
}

/** Options of {@link createOpenApi}. */
export interface OpenApiOptions extends ApiDescription {
  services: readonly Pick<ServedService, "desc" | "isPublic">[];
}

/**
 * The OpenAPI 3.1 document of services: their REST routes, and their unary RPCs over Connect, described by the
 * contract's own comments. Streams over Connect, gRPC and gRPC-Web are beyond what OpenAPI can say.
 */
export function createOpenApi(options: OpenApiOptions): JsonObject {
  const { services, comments, securitySchemes } = options;
  const schemas: JsonObject = {};
  const context = {
    comments,
    legacy: createSchemas("legacy", schemas, comments),
    canonical: createSchemas("canonical", schemas, comments),
  };
  const paths: Record<string, JsonObject> = {};
  const ids = new Map<string, number>();
  const add = (path: string, verb: string, id: string, isPublic: boolean, operation: JsonObject) => {
    const count = (ids.get(id) ?? 0) + 1;
    ids.set(id, count);
    const operationId = count === 1 ? id : `${id}_${count}`;
    const security = isPublic && { security: [] };
    paths[path] = { ...paths[path], [verb.toLowerCase()]: { operationId, ...operation, ...security } };
  };
  for (const { desc, isPublic } of services) {
    for (const binding of bindingsOfAll([desc])) {
      const { method, path, verb } = binding;
      add(path.openApi, verb, `${desc.name}_${method.name}`, isPublic(method), restOperation(binding, context));
    }
    for (const method of desc.methods.filter(({ methodKind }) => methodKind === "unary")) {
      const path = `/${desc.typeName}/${method.name}`;
      add(path, "POST", `${desc.name}_${method.name}_connect`, isPublic(method), connectOperation(method, context));
    }
  }
  const descs = services.map(({ desc }) => desc);
  return {
    openapi: "3.1.0",
    info: { title: options.title, version: options.version, ...described(aboutFiles(descs, comments)) },
    tags: descs.map(({ typeName }) => ({ name: typeName, ...described(comments[typeName]) })),
    security: Object.keys(securitySchemes).map((name) => ({ [name]: [] })),
    paths,
    components: { schemas, securitySchemes, responses: errorResponses, parameters: connectParameters },
  };
}

function aboutFiles(services: readonly DescService[], comments: Comments): string {
  const files = new Set(services.map(({ file }) => `${file.name}.proto`));
  return [...files].flatMap((name) => comments[name] ?? []).join("\n\n");
}
