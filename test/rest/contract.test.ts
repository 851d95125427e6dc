import { create, type FileRegistry, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import {
  type Binding,
  BindingSchema,
  Codec,
  Envelope,
  Framing,
  SentencesSchema,
  Verb,
} from "../../gen/garrison/rest/v1/rest_pb.ts";
import { BadContract } from "../../src/platform/rest/bad-contract.ts";
import { compareBindings } from "../../src/platform/rest/compare-bindings.ts";
import { bindingsOfAll } from "../../src/platform/rest/read-bindings.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";
import { type Change, changedContract } from "./changed-contract.ts";
import { serveRest } from "./serve.ts";

const at = (method: string, index: number, patch: Partial<Binding>) => (contract: Change) =>
  contract.bindings(method, (bindings) =>
    bindings.map((binding, place) => (place === index ? Object.assign(binding, patch) : binding)),
  );

describe("the check of the bindings", () => {
  const unchanged = changedContract();
  const found = (change: (contract: Change) => void) => compareBindings(unchanged, changedContract(change));

  test("finds nothing in a contract that did not change, as an image too", () => {
    const image = toBinary(
      FileDescriptorSetSchema,
      create(FileDescriptorSetSchema, { file: [...unchanged.files].map(({ proto }) => proto) }),
    );
    expect(compareBindings(unchanged, unchanged)).toEqual([]);
    expect(compareBindings(image, image)).toEqual([]);
    expect(
      compareBindings(image, changedContract(at("ShelfService.GetItem", 0, { path: "/api/things/{id}" }))),
    ).toEqual(["GET /api/items/{id}: the route of garrison.resttest.v1.ShelfService.GetItem is gone"]);
  });

  test.each<[string, (contract: Change) => void, string[]]>([
    [
      "a route that is gone",
      (contract) => contract.bindings("ShelfService.Echo", ([first]) => (first ? [first] : [])),
      [
        "GET /api/echo: the route of garrison.resttest.v1.ShelfService.Echo is gone",
        "POST /api/echo/lenient: the route of garrison.resttest.v1.ShelfService.Echo is gone",
        "POST /api/echo/kinds: the route of garrison.resttest.v1.ShelfService.Echo is gone",
        "POST /api/echo/names: the route of garrison.resttest.v1.ShelfService.Echo is gone",
      ],
    ],
    [
      "another verb",
      at("ShelfService.DeleteItem", 0, { verb: Verb.POST }),
      ["DELETE /api/items/{id}: the route of garrison.resttest.v1.ShelfService.DeleteItem is gone"],
    ],
    [
      "another variable",
      at("ShelfService.DeleteItem", 0, { path: "/api/items/{reason}" }),
      ["DELETE /api/items/{id}: the variables of the path was id, and is reason"],
    ],
    [
      "another body",
      at("ShelfService.CreateItem", 0, { body: "*" }),
      ["POST /api/items: the body was item, and is all"],
    ],
    [
      "another envelope",
      at("ShelfService.GetDocument", 0, { envelope: Envelope.OK_DATA }),
      ["GET /api/document: the envelope was bare, and is ok_data"],
    ],
    [
      "the same envelope, but from the API",
      (contract) => {
        contract.api("PipeService", { envelope: Envelope.OK_DATA });
      },
      [],
    ],
    [
      "another status",
      at("ShelfService.CreateItem", 0, { successStatus: 200 }),
      ["POST /api/items: the status of success was 201, and is 200"],
    ],
    [
      "another framing",
      at("PipeService.Push", 1, { requestFraming: Framing.DELIMITED }),
      ["PUT /pipe/push/one: the framing of the request was one message, and is delimited"],
    ],
    [
      "another field that is sent, and what is beside it",
      at("ShelfService.ListItems", 0, { responseBody: "", beside: [] }),
      [
        "GET /api/items: the field that is sent was items, and is none",
        "GET /api/items: pagination was sent beside the data",
      ],
    ],
    [
      "a stricter body",
      at("ShelfService.Echo", 2, { contentTypeRequired: true, bodyLimitBytes: 999, quotedBody: false, arrayBody: "" }),
      [
        "POST /api/echo/lenient: the body must now come with its content type",
        "POST /api/echo/lenient: bodies of more bytes than now were taken",
        "POST /api/echo/lenient: a body that is an array was read otherwise",
        "POST /api/echo/lenient: a body that is a string was read",
      ],
    ],
    [
      "other events",
      at("ShelfService.WatchItems", 0, { eventField: "", eventIdField: "" }),
      ["GET /api/events: the name of events was event, and is none", "GET /api/events: events had another id"],
    ],
    [
      "another text",
      at("ShelfService.GetNames", 1, { etag: true, feed: create(BindingSchema, { feed: { field: "text" } }).feed }),
      ["GET /feeds/names.csv: the text was raw as text/csv, and is text as text/plain; charset=utf-8"],
    ],
    [
      "a text whose kind is told otherwise",
      at("ShelfService.GetNames", 2, { feed: create(BindingSchema, { feed: { field: "text" } }).feed }),
      ["GET /feeds/names: the text was text as what kind tells, and is text as text/plain; charset=utf-8"],
    ],
    [
      "an ETag that is gone",
      at("ShelfService.GetNames", 0, { etag: false }),
      ["GET /feeds/names.txt: an ETag was sent"],
    ],
    [
      "other errors",
      (contract) =>
        contract.api("PipeService", {
          internalStatus: 0,
          sentences: create(SentencesSchema, { notFound: "nothing here" }),
        }),
      expect.arrayContaining([
        "POST /pipe/turn: the status of unforeseen errors was 503, and is 500",
        expect.stringMatching(/^POST \/pipe\/turn: the wording of errors was .* and is /),
      ]),
    ],
    [
      "legacy JSON that is read otherwise",
      (contract) => {
        contract.field("Ruled.rule_id", { aliases: [] });
        contract.field("Ruled.severity", { unknownAsZero: false });
        contract.value("Severity.SEVERITY_HIGH", { aliases: ["serious"] });
      },
      [
        "garrison.resttest.v1.Ruled.rule_id: was also read as sigmaRuleId",
        "garrison.resttest.v1.Ruled.severity: unknown spellings were read",
        "garrison.resttest.v1.Severity.SEVERITY_HIGH: was also read as severe",
      ],
    ],
    [
      "legacy JSON that is written otherwise",
      (contract) => {
        contract.field("Ruled.document", { jsonText: false });
        contract.field("Ruled.owner_id", { explicitNull: false });
        contract.field("Ruled.total", { emitDefault: false });
        contract.value("Severity.SEVERITY_LOW", { spelling: "LOW" });
      },
      [
        "garrison.resttest.v1.Ruled.document: was embedded JSON",
        "garrison.resttest.v1.Ruled.owner_id: was null when absent",
        "garrison.resttest.v1.Ruled.total: its default value was sent",
        'garrison.resttest.v1.Severity.SEVERITY_LOW: was written "low", and is "LOW"',
      ],
    ],
    [
      "what can no longer be served",
      at("ShelfService.GetItem", 0, { path: "/api/items/{key}" }),
      [
        "garrison.resttest.v1.ShelfService.GetItem at GET /api/items/{key}: " +
          'the path names "key", which garrison.resttest.v1.GetItemRequest does not have',
      ],
    ],
  ])("finds %s", (_what, change, expected) => {
    expect(found(change).sort()).toEqual(Array.isArray(expected) ? expected.sort() : expected);
  });

  test("lets additions pass", () => {
    const additions = (contract: Change) => {
      const more = create(BindingSchema, { verb: Verb.POST, path: "/api/hidden", codec: Codec.PROTOBUF });
      contract.bindings("ShelfService.Hide", () => [more]);
      contract.field("Item.name", { aliases: ["title"] });
      contract.field("Item.severity", { unknownAsZero: true });
      contract.value("Severity.SEVERITY_LOW", { spelling: "low", aliases: ["minor"] });
      at("ShelfService.CreateItem", 0, { contentTypeRequired: false, bodyLimitBytes: 200_000 })(contract);
      at("ShelfService.GetItem", 0, { etag: true, cacheControl: "no-cache", summary: "Gets it." })(contract);
      at("ShelfService.Echo", 0, { arrayBody: "items", quotedBody: true })(contract);
    };
    expect(found(additions)).toEqual([]);
    expect(compareBindings(changedContract(additions), unchanged)).not.toEqual([]);
  });
});

describe("a contract that cannot be served is refused at start", () => {
  test.each<[string, (contract: Change) => void, string]>([
    ["no verb", at("ShelfService.GetItem", 0, { verb: Verb.UNSPECIFIED }), "no verb"],
    ["a relative path", at("ShelfService.GetItem", 0, { path: "items" }), "the path must begin with /"],
    ["a wild card", at("ShelfService.GetItem", 0, { path: "/items/*" }), 'a segment that cannot be served: "*"'],
    ["a query in the path", at("ShelfService.GetItem", 0, { path: "/items?x" }), "cannot be served"],
    ["a half variable", at("ShelfService.GetItem", 0, { path: "/items/x{id}" }), "cannot be served"],
    ["an empty segment", at("ShelfService.GetItem", 0, { path: "/items//{id}" }), "an empty segment"],
    [
      "something after a tail",
      at("ShelfService.GetFile", 0, { path: "/f/{path=**}/x" }),
      'nothing can follow "{path=**}"',
    ],
    [
      "a verb in the middle",
      at("ShelfService.GetItem", 0, { path: "/a:b/{id}" }),
      "only the last segment can have a verb",
    ],
    ["a variable twice", at("ShelfService.GetItem", 0, { path: "/{id}/{id}" }), 'the variable "id" twice'],
    ["an unknown variable", at("ShelfService.GetItem", 0, { path: "/{key}" }), 'the path names "key", which'],
    [
      "a variable that is a message",
      at("ShelfService.UpdateItem", 0, { path: "/{item}" }),
      '"item", which is not a scalar',
    ],
    ["a variable below a scalar", at("ShelfService.GetItem", 0, { path: "/{id.x}" }), 'the path names "id.x", which'],
    ["an unknown body", at("ShelfService.CreateItem", 0, { body: "thing" }), 'body names "thing", which'],
    [
      "an unknown field to send",
      at("ShelfService.GetItem", 0, { responseBody: "thing" }),
      'response_body names "thing"',
    ],
    ["an unknown field beside", at("ShelfService.ListItems", 0, { beside: ["thing"] }), 'beside names "thing"'],
    [
      "beside without an envelope",
      at("ShelfService.ListItems", 1, { beside: ["pagination"] }),
      "beside needs ENVELOPE_OK_DATA",
    ],
    ["a stream without framing", at("ShelfService.WatchItems", 0, { responseFraming: 0 }), "needs response_framing"],
    [
      "framing without a stream",
      at("ShelfService.GetItem", 0, { responseFraming: Framing.SSE }),
      "needs a streamed response",
    ],
    [
      "request framing without a stream",
      at("PipeService.Turn", 0, { requestFraming: Framing.DELIMITED }),
      "needs a streamed request",
    ],
    [
      "a request in events",
      at("PipeService.Push", 0, { requestFraming: Framing.SSE }),
      "only be framed as FRAMING_DELIMITED",
    ],
    ["delimited JSON", at("PipeService.Push", 0, { codec: Codec.JSON }), "request_framing needs CODEC_PROTOBUF"],
    [
      "delimited JSON to send",
      at("PipeService.Tail", 1, { codec: Codec.JSON }),
      "FRAMING_DELIMITED needs CODEC_PROTOBUF",
    ],
    [
      "lines of a message without one",
      at("ShelfService.WatchItems", 1, { responseFraming: Framing.LINES }),
      "exactly one string",
    ],
    [
      "names of events that are none",
      at("ShelfService.WatchItems", 0, { eventField: "item" }),
      "event_field needs a string",
    ],
    [
      "ids of events that are none",
      at("ShelfService.WatchItems", 0, { eventIdField: "item" }),
      "event_id_field needs a string",
    ],
    ["names of events without events", at("PipeService.Tail", 0, { eventField: "line" }), "need FRAMING_SSE"],
    ["an ETag of what was posted", at("ShelfService.CreateItem", 0, { etag: true }), "etag needs VERB_GET"],
    ["an array for one field", at("ShelfService.Echo", 0, { arrayBody: "kinds" }), "array_body needs a repeated field"],
    ["leniency in protobuf", at("PipeService.Turn", 0, { quotedBody: true }), "need CODEC_JSON"],
    [
      "a scalar body in protobuf",
      at("ShelfService.GetItem", 0, { codec: Codec.PROTOBUF, body: "id", path: "/x" }),
      "body needs a message of its own",
    ],
    [
      "a list to send in protobuf",
      at("ShelfService.ListItems", 1, { codec: Codec.PROTOBUF, responseBody: "items" }),
      "response_body needs a message of its own",
    ],
    [
      "an envelope around protobuf",
      at("PipeService.Turn", 0, { envelope: Envelope.OK_DATA }),
      "ENVELOPE_OK_DATA needs CODEC_JSON",
    ],
    [
      "an error as success",
      at("ShelfService.GetItem", 0, { successStatus: 404 }),
      "success_status is not one of success",
    ],
    [
      "a text that is a message",
      at("ShelfService.GetItem", 0, { feed: create(BindingSchema, { feed: { field: "details" } }).feed }),
      "feed needs a string or bytes",
    ],
    [
      "a content type that is no string",
      at("ShelfService.GetNames", 2, {
        feed: create(BindingSchema, { feed: { field: "text", contentTypeField: "raw" } }).feed,
      }),
      "content_type_field needs a string",
    ],
  ])("%s", (_what, change, problem) => {
    const services = servicesOf(changedContract(change));
    expect(() => bindingsOfAll(services)).toThrow(BadContract);
    expect(() => bindingsOfAll(services)).toThrow(problem);
  });

  test("with all that is wrong with it", async () => {
    const contract = changedContract((changed) => {
      at("ShelfService.GetItem", 0, { path: "/{key}", responseBody: "thing" })(changed);
      at("ShelfService.CreateItem", 0, { verb: Verb.UNSPECIFIED })(changed);
    });
    const service = "garrison.resttest.v1.ShelfService";
    await expect(serve(contract)).rejects.toThrow(
      [
        "the REST options of the contract cannot be served:",
        `  ${service}.GetItem at GET /{key}: the path names "key", which garrison.resttest.v1.GetItemRequest does not have`,
        `  ${service}.GetItem at GET /{key}: response_body names "thing", which garrison.resttest.v1.Item does not have`,
        `  ${service}.CreateItem at (no verb) /api/items: no verb`,
      ].join("\n"),
    );
  });

  test("two routes that are the same, though their variables have other names", async () => {
    const contract = changedContract(at("ShelfService.UpdateItem", 0, { verb: Verb.DELETE }));
    await expect(serve(contract)).rejects.toThrow(
      "ShelfService.DeleteItem at DELETE /api/items/{id}: UpdateItem at /api/items/{item.id} is the same route",
    );
  });

  test.each<[string, (contract: Change) => void, string]>([
    ["one name for two fields", (it) => it.field("Item.name", { aliases: ["size"] }), 'is already read under "size"'],
    [
      "one spelling for two values",
      (it) => it.value("Severity.SEVERITY_LOW", { aliases: ["HIGH"] }),
      'the spelling "high" already means 1',
    ],
    ["JSON in a number", (it) => it.field("Item.size", { jsonText: true }), "json_text needs a string"],
    [
      "a default that is no JSON",
      (it) => it.field("Item.document", { emitDefault: true }),
      "no default value that is JSON",
    ],
    [
      "null for what is never absent",
      (it) => it.field("Item.name", { explicitNull: true }),
      "explicit_null needs a field that can",
    ],
    [
      "a default for what can be absent",
      (it) => it.field("Item.owner_id", { emitDefault: true }),
      "emit_default needs a field that",
    ],
    [
      "unknown spellings of a string",
      (it) => it.field("Item.name", { unknownAsZero: true }),
      "unknown_as_zero needs an enum",
    ],
  ])("%s", async (_what, change, problem) => {
    await expect(serve(changedContract(change))).rejects.toThrow(problem);
  });
});

function servicesOf(contract: FileRegistry) {
  return [...contract].filter((desc) => desc.kind === "service");
}

async function serve(contract: FileRegistry): Promise<void> {
  const served = await serveRest(servicesOf(contract).map((desc) => serveService(desc, {})));
  await served.close();
}
