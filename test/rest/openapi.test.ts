import type { JsonObject } from "@bufbuild/protobuf";
import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, test } from "vitest";
import { comments as contractComments } from "../../gen/comments.ts";
import { NodeAgentService } from "../../gen/garrison/core/v1/node_agent_pb.ts";
import { NodeService } from "../../gen/service/node_pb.ts";
import { createOpenApi } from "../../src/platform/rest/openapi/openapi.ts";
import { bindingsOfAll } from "../../src/platform/rest/read-bindings.ts";
import { comments } from "./gen/comments.ts";
import { PipeService } from "./gen/garrison/resttest/v1/pipe_service_pb.ts";
import { ShelfService } from "./gen/garrison/resttest/v1/shelf_service_pb.ts";

const securitySchemes: JsonObject = {
  bearer: { type: "http", scheme: "bearer" },
  key: { type: "apiKey", in: "header", name: "x-api-key" },
};
const served = (desc: typeof ShelfService | typeof PipeService) => ({
  desc,
  isPublic: ({ name }: { name: string }) => name === "GetNames",
});
const document = createOpenApi({
  services: [served(ShelfService), served(PipeService)],
  comments,
  title: "Shelf",
  version: "1.2.3",
  securitySchemes,
});
/** What stands at a place; keys hold slashes, so they are given one by one. */
const pick = (value: JsonObject, ...keys: string[]): JsonObject =>
  keys.reduce((inner, key) => (inner as Record<string, JsonObject>)[key] ?? {}, value);
const at = (...keys: string[]) => pick(document, ...keys);
const schemaOf = (holder: JsonObject) => pick(holder, "content", "application/json", "schema");

describe("the document", () => {
  test.each<[string, JsonObject]>([
    ["of the test-only contract", document],
    [
      "of the contract",
      createOpenApi({
        services: [NodeService, NodeAgentService].map((desc) => ({ desc, isPublic: () => false })),
        comments: contractComments,
        title: "Garrison",
        version: "0.3.0",
        securitySchemes,
      }),
    ],
    ["of nothing", createOpenApi({ services: [], comments: {}, title: "x", version: "0", securitySchemes: {} })],
  ])("%s is OpenAPI 3.1", async (_what, made) => {
    const result = await new Validator().validate(JSON.parse(JSON.stringify(made)));
    expect(result.errors).toBeUndefined();
    expect(result.valid).toBe(true);
    expect(made.openapi).toBe("3.1.0");
    expect(await new Validator().validate({ ...made, paths: { "no-slash": {} } })).toMatchObject({ valid: false });
  });

  test("points to nothing that is not there, and has nothing that nobody points to", () => {
    const references = new Set(
      [...JSON.stringify(document).matchAll(/"#\/components\/(\w+)\/([^"]+)"/g)].map(([it]) => it),
    );
    for (const reference of references) {
      const [, , kind = "", name = ""] = JSON.parse(reference).split("/");
      expect(at("components", kind, name), reference).not.toEqual({});
    }
    for (const name of Object.keys(at("components", "schemas"))) {
      expect(references).toContain(`"#/components/schemas/${name}"`);
    }
  });

  test("has every route, and every unary RPC over Connect, and nothing else", () => {
    const described = Object.entries(at("paths")).flatMap(([path, verbs]) =>
      Object.keys(verbs as object).map((verb) => `${verb.toUpperCase()} ${path}`),
    );
    const services = [ShelfService, PipeService];
    const wanted = [
      ...bindingsOfAll(services).map(({ verb, path }) => `${verb} ${path.openApi}`),
      ...services.flatMap((desc) =>
        desc.methods
          .filter(({ methodKind }) => methodKind === "unary")
          .map(({ name }) => `POST /${desc.typeName}/${name}`),
      ),
    ];
    expect(described.sort()).toEqual(wanted.sort());
  });

  test("names every operation once", () => {
    const ids = Object.values(at("paths")).flatMap((verbs) =>
      Object.values(verbs as Record<string, JsonObject>).map(({ operationId }) => operationId),
    );
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toContain("ShelfService_GetItem_2");
  });

  test("says what the contract's comments say", () => {
    expect(document.info).toMatchObject({
      title: "Shelf",
      version: "1.2.3",
      description: "A JSON API with every shape of binding.\n\nAn API in protobuf and plain text, with streams.",
    });
    expect(at("paths", "/v1/api/items/{id}", "get")).toMatchObject({
      tags: ["garrison.resttest.v1.ShelfService"],
      summary: "Gets an item.",
      description: "Gets an item.\n\nThe older path.",
      parameters: [{ name: "id", in: "path", required: true, schema: { type: "string" }, description: "Its id." }],
    });
    const item = at("components", "schemas", "garrison.resttest.v1.Item-rest");
    expect(item).toMatchObject({ description: "Something on the shelf.", type: "object" });
    expect(pick(item, "properties", "name")).toEqual({
      type: "string",
      maxLength: 20,
      description: "What it is called, at most 20 characters.",
    });
  });

  test("tells legacy JSON from canonical JSON", () => {
    const rest = at("components", "schemas", "garrison.resttest.v1.Item-rest", "properties");
    const connect = at("components", "schemas", "garrison.resttest.v1.Item", "properties");
    expect(rest.size).toMatchObject({ type: "integer", format: "int64" });
    expect(connect.size).toMatchObject({ type: "string", format: "int64" });
    expect(rest.ownerId).toMatchObject({ type: ["integer", "null"] });
    expect(connect.ownerId).toMatchObject({ type: "string" });
    expect(rest.document).toEqual({ description: "A document of its own." });
    expect(connect.document).toMatchObject({ type: "string" });
    expect(at("components", "schemas", "garrison.resttest.v1.Severity-rest").enum).toEqual([
      "SEVERITY_UNSPECIFIED",
      "low",
      "high",
    ]);
    expect(at("components", "schemas", "garrison.resttest.v1.Severity").enum).toContain("SEVERITY_HIGH");
  });

  test("has the query with its lists, nested fields and aliases", () => {
    const { parameters } = at("paths", "/api/items", "get");
    expect(parameters).toEqual([
      expect.objectContaining({
        name: "page",
        in: "query",
        schema: { type: "integer", minimum: 0, maximum: 4294967295 },
      }),
      expect.objectContaining({ name: "limit", description: "At most 200.\n\nAlso read as `perPage`." }),
      expect.objectContaining({
        name: "severity",
        schema: { type: "array", items: { $ref: "#/components/schemas/garrison.resttest.v1.Severity-rest" } },
      }),
      expect.objectContaining({ name: "largerThan" }),
      expect.objectContaining({ name: "archived" }),
      expect.objectContaining({ name: "owner.id", description: "The owner's id." }),
      expect.objectContaining({ name: "owner.tags" }),
      expect.objectContaining({ name: "since", schema: { type: "string", format: "date-time" } }),
    ]);
  });

  test("has bodies and answers in their shapes", () => {
    const list = schemaOf(at("paths", "/api/items", "get", "responses", "200"));
    expect(list).toMatchObject({
      required: ["ok", "data"],
      properties: {
        ok: { const: true },
        data: { type: "array", items: { $ref: "#/components/schemas/garrison.resttest.v1.Item-rest" } },
        pagination: { $ref: "#/components/schemas/garrison.resttest.v1.Pagination-rest" },
      },
    });
    const create = at("paths", "/api/items", "post");
    expect(schemaOf(pick(create, "requestBody"))).toMatchObject({
      $ref: "#/components/schemas/garrison.resttest.v1.Item-rest",
    });
    expect(Object.keys(pick(create, "responses"))).toEqual(["201", "default"]);
    expect(at("paths", "/api/items/{id}", "delete", "responses", "204")).not.toHaveProperty("content");
    expect(at("paths", "/feeds/names.txt", "get", "responses")).toMatchObject({
      200: { content: { "text/plain; charset=utf-8": { schema: { type: "string" } } } },
      304: {},
    });
    expect(
      at("paths", "/api/events", "get", "responses", "200", "content", "text/event-stream", "schema"),
    ).toMatchObject({
      "x-event-data": { $ref: "#/components/schemas/garrison.resttest.v1.Item-rest" },
    });
    expect(at("paths", "/pipe/push", "put", "requestBody")).toMatchObject({
      description:
        "Messages `garrison.resttest.v1.PushRequest` in Protocol Buffers, each behind its length as an unsigned LEB128 number.",
      content: { "application/x-protobuf": {} },
    });
    expect(
      at("paths", "/pipe/turn", "get", "requestBody", "content", "application/x-protobuf", "schema"),
    ).toMatchObject({
      title: "garrison.resttest.v1.TurnRequest",
    });
    expect(at("paths", "/pipe/turn", "get", "responses", "default")).toEqual({
      $ref: "#/components/responses/error-text",
    });
  });

  test("says what opens it, and what is open", () => {
    expect(document.security).toEqual([{ bearer: [] }, { key: [] }]);
    expect(at("components", "securitySchemes")).toEqual(securitySchemes);
    expect(at("paths", "/feeds/names.txt", "get").security).toEqual([]);
    expect(at("paths", "/api/items", "get")).not.toHaveProperty("security");
  });
});
