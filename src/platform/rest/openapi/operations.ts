import type { DescField, DescMethod, JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { FieldPath, RestBinding } from "../binding.ts";
import { contentTypes } from "../request-body.ts";
import { type Comments, described, type Schemas } from "./schemas.ts";

/** What operations are described with. */
export interface OperationContext {
  readonly comments: Comments;
  readonly legacy: Schemas;
  readonly canonical: Schemas;
}

/** Describes one REST route. */
export function restOperation(binding: RestBinding, context: OperationContext): JsonObject {
  const { method } = binding;
  const parameters = [...pathParameters(binding, context), ...queryParameters(binding, context)];
  const requestBody = bodyOf(binding, context);
  return {
    ...about(method, context, binding.summary),
    ...(parameters.length > 0 && { parameters }),
    ...(requestBody && { requestBody }),
    responses: {
      [binding.successStatus]: successOf(binding, context),
      ...(binding.etag && { 304: { description: "What the caller has is what there is." } }),
      default: { $ref: `#/components/responses/error-${binding.errors.form}` },
    },
  };
}

/** Describes a unary RPC over Connect. */
export function connectOperation(method: DescMethod, context: OperationContext): JsonObject {
  const content = (desc: DescMethod["input"]): JsonObject => ({
    "application/json": { schema: context.canonical.message(desc) },
    "application/proto": { schema: inProtobuf(desc.typeName) },
  });
  return {
    ...about(method, context, "The Connect protocol, with canonical JSON or Protocol Buffers."),
    parameters: [
      { $ref: "#/components/parameters/connect-protocol-version" },
      { $ref: "#/components/parameters/connect-timeout-ms" },
    ],
    requestBody: { content: content(method.input), required: true },
    responses: {
      200: { description: comment(context, method.output.typeName), content: content(method.output) },
      default: { $ref: "#/components/responses/error-connect" },
    },
  };
}

/** The error answers that operations point to. */
export const errorResponses: JsonObject = {
  "error-json": {
    description: "An error.",
    content: {
      "application/json": {
        schema: {
          type: "object",
          required: ["ok", "error", "code"],
          properties: {
            ok: { const: false },
            error: { type: "string", description: "A sentence that says what is wrong." },
            code: { type: "string", description: "A stable name of the error, for programs." },
            request_id: { type: "string", description: "The id under which the call is logged." },
            details: { type: "array", items: { type: "object", properties: { "@type": { type: "string" } } } },
          },
        },
      },
    },
  },
  "error-text": {
    description: "An error: a sentence that says what is wrong.",
    content: { "text/plain": { schema: { type: "string" } } },
  },
  "error-detail": {
    description: "An error.",
    content: {
      "application/json": {
        schema: {
          type: "object",
          required: ["detail"],
          properties: { detail: { type: "string", description: "A sentence that says what is wrong." } },
        },
      },
    },
  },
  "error-connect": {
    description: "An error of the Connect protocol.",
    content: {
      "application/json": {
        schema: {
          type: "object",
          required: ["code"],
          properties: {
            code: { type: "string", description: "The code's name, such as `not_found`." },
            message: { type: "string", description: "A sentence that says what is wrong." },
            details: {
              type: "array",
              items: {
                type: "object",
                properties: { type: { type: "string" }, value: { type: "string", contentEncoding: "base64" } },
              },
            },
          },
        },
      },
    },
  },
};

/** The headers of Connect that operations point to. */
export const connectParameters: JsonObject = {
  "connect-protocol-version": {
    name: "Connect-Protocol-Version",
    in: "header",
    schema: { const: "1" },
  },
  "connect-timeout-ms": {
    name: "Connect-Timeout-Ms",
    in: "header",
    description: "Milliseconds after which the call is given up.",
    schema: { type: "integer", minimum: 1 },
  },
};

function about(method: DescMethod, context: OperationContext, note: string): JsonObject {
  const text = context.comments[`${method.parent.typeName}.${method.name}`] ?? "";
  const [sentence = ""] = text.match(/^.*?\.(?=\s|$)/s) ?? [];
  return {
    tags: [method.parent.typeName],
    ...(sentence !== "" && { summary: sentence.replaceAll("\n", " ") }),
    ...described([text, note].filter((part) => part !== "").join("\n\n")),
    ...(method.deprecated && { deprecated: true }),
  };
}

function pathParameters({ path, pathFields }: RestBinding, { legacy }: OperationContext): JsonValue[] {
  return path.variables.flatMap((name, index) => {
    const field = pathFields[index]?.at(-1);
    if (field === undefined) return [];
    const { description, ...schema } = legacy.field(field);
    return [{ name, in: "path", required: true, schema, ...(description !== undefined && { description }) }];
  });
}

function queryParameters(binding: RestBinding, { legacy }: OperationContext): JsonValue[] {
  if (binding.body === "all") return [];
  const taken = new Set(binding.pathFields.filter(({ length }) => length === 1).map(([field]) => field));
  if (binding.body !== "none") taken.add(binding.body);
  const free = binding.method.input.fields.filter((field) => !taken.has(field));
  return free
    .flatMap((field) => leavesOf([field]))
    .map((way) => {
      const leaf = way.at(-1) ?? way[0];
      const { description, ...schema } = legacy.field(leaf);
      const name = way.map(({ jsonName }) => jsonName).join(".");
      return { name, in: "query", schema, ...(description !== undefined && { description }) };
    });
}

/** The fields under a field that a query can give, itself included. */
function leavesOf(way: FieldPath): FieldPath[] {
  const leaf = way.at(-1) ?? way[0];
  if (leaf.fieldKind === "map" || (leaf.fieldKind === "list" && leaf.listKind === "message")) return [];
  if (leaf.fieldKind !== "message" || leaf.message.typeName.startsWith("google.protobuf.")) return [way];
  const { message } = leaf;
  const isRecursive = way.slice(0, -1).some((step) => step.message === message) || message === way[0].parent;
  return isRecursive ? [] : message.fields.flatMap((field) => leavesOf([...way, field]));
}

function bodyOf(binding: RestBinding, context: OperationContext): JsonObject | undefined {
  const { body, method, codec } = binding;
  if (body === "none") return undefined;
  const [type] = contentTypes[codec];
  if (binding.delimitedRequest) {
    return { description: delimitedText(method.input.typeName), content: { [type]: {} } };
  }
  if (codec === "protobuf") {
    const desc = body === "all" ? method.input : body.message;
    return { content: { [type]: { schema: inProtobuf(desc?.typeName ?? "") } } };
  }
  return { content: { [type]: { schema: jsonOf(body === "all" ? undefined : body, method, context) } } };
}

function successOf(binding: RestBinding, context: OperationContext): JsonObject {
  const { method, responseBody, successStatus, feed, codec, responseFraming } = binding;
  const description = comment(context, (responseBody?.message ?? method.output).typeName);
  const [protobuf] = contentTypes.protobuf;
  if (successStatus === 204 || successStatus === 205) return { description };
  if (feed) {
    const contentType = feed.contentTypeField === undefined ? feed.contentType : "*/*";
    return { description, content: { [contentType]: { schema: { type: "string" } } } };
  }
  switch (responseFraming) {
    case "sse": {
      const data = outputOf(responseBody, method, context);
      const schema = { type: "string", description: "Server-Sent Events.", "x-event-data": data };
      return { description, content: { "text/event-stream": { schema } } };
    }
    case "lines": {
      const text = "Lines; Server-Sent Events where `Accept` names `text/event-stream`.";
      return { description, content: { "text/event-stream": { schema: { type: "string", description: text } } } };
    }
    case "delimited":
      return { description: delimitedText(method.output.typeName), content: { [protobuf]: {} } };
    default:
  }
  if (codec === "protobuf") {
    const { typeName } = responseBody?.message ?? method.output;
    return { description, content: { [protobuf]: { schema: inProtobuf(typeName) } } };
  }
  return { description, content: { "application/json": { schema: answerOf(binding, context) } } };
}

function answerOf(binding: RestBinding, context: OperationContext): JsonObject {
  const { envelope, method, responseBody, beside } = binding;
  if (envelope === "bare") return outputOf(responseBody, method, context);
  const data =
    responseBody || beside.length === 0
      ? outputOf(responseBody, method, context)
      : context.legacy.object(method.output.fields.filter((field) => !beside.includes(field)));
  const others = Object.fromEntries(beside.map((field) => [field.jsonName, context.legacy.field(field)]));
  return { type: "object", required: ["ok", "data"], properties: { ok: { const: true }, data, ...others } };
}

function outputOf(field: DescField | undefined, { output }: DescMethod, { legacy }: OperationContext): JsonObject {
  return field ? legacy.field(field) : legacy.message(output);
}

function jsonOf(field: DescField | undefined, { input }: DescMethod, { legacy }: OperationContext): JsonObject {
  return field ? legacy.field(field) : legacy.message(input);
}

function inProtobuf(typeName: string): JsonObject {
  return {
    title: typeName,
    description: `\`${typeName}\` in Protocol Buffers.`,
    contentMediaType: "application/x-protobuf",
  };
}

function delimitedText(typeName: string): string {
  return `Messages \`${typeName}\` in Protocol Buffers, each behind its length as an unsigned LEB128 number.`;
}

function comment({ comments }: OperationContext, typeName: string): string {
  return comments[typeName] ?? typeName;
}
