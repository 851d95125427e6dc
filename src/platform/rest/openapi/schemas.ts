import {
  type DescEnum,
  type DescField,
  type DescMessage,
  getOption,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import { field as fieldOption, value as valueOption } from "../../../../gen/garrison/rest/v1/rest_pb.ts";
import { constraintsOf } from "./constraints.ts";

/** The comments of the contract, by the full name of what they describe. */
export type Comments = Readonly<Record<string, string>>;

/** Schemas of one JSON: the legacy JSON of REST, or the canonical JSON of Protocol Buffers. */
export interface Schemas {
  /** Points to the schema of a message, and sees to it that it is there. */
  message(desc: DescMessage): JsonObject;
  /** The schema of a field's value, with its comment. */
  field(desc: DescField): JsonObject;
  /** An object with some of the fields of a message. */
  object(fields: readonly DescField[]): JsonObject;
}

/** Makes schemas; those that others point to are added to `components`. */
export function createSchemas(json: "legacy" | "canonical", components: JsonObject, comments: Comments): Schemas {
  const isLegacy = json === "legacy";
  const reference = (typeName: string, make: () => JsonObject): JsonObject => {
    const name = isLegacy ? `${typeName}-rest` : typeName;
    if (components[name] === undefined) {
      components[name] = {}; // known before it is made: a message may hold itself
      components[name] = make();
    }
    return { $ref: `#/components/schemas/${name}` };
  };
  const message = (desc: DescMessage): JsonObject =>
    wellKnown(desc) ??
    reference(desc.typeName, () => ({ ...described(comments[desc.typeName]), ...object(desc.fields) }));
  const object = (fields: readonly DescField[]): JsonObject => ({
    type: "object",
    ...(fields.length > 0 && {
      properties: Object.fromEntries(fields.map((field) => [field.jsonName, ofField(field)])),
    }),
  });
  const ofField = (field: DescField): JsonObject => {
    const rule = getOption(field, fieldOption);
    const shape = { ...shapeOf(field), ...constraintsOf(field) };
    const nullable = isLegacy && rule.explicitNull ? orNull(shape) : shape;
    const notes = [
      comments[`${field.parent?.typeName}.${field.name}`],
      field.oneof &&
        `Only one of ${field.oneof.fields.map(({ jsonName }) => `\`${jsonName}\``).join(", ")} can be given.`,
      isLegacy && rule.aliases.length > 0 && `Also read as ${rule.aliases.map((alias) => `\`${alias}\``).join(", ")}.`,
    ];
    return { ...nullable, ...described(notes.filter((note) => note).join("\n\n")) };
  };
  const shapeOf = (field: DescField): JsonObject => {
    if (field.fieldKind === "list") return { type: "array", items: elementOf(field) };
    if (field.fieldKind === "map") return { type: "object", additionalProperties: elementOf(field) };
    return elementOf(field);
  };
  const elementOf = (field: DescField): JsonObject => {
    if (field.enum) return enumOf(field.enum);
    if (field.message) return message(field.message);
    return isLegacy && getOption(field, fieldOption).jsonText ? {} : scalarOf(field.scalar);
  };
  const enumOf = (desc: DescEnum): JsonObject => {
    if (desc.typeName === "google.protobuf.NullValue") return { type: "null" };
    return reference(desc.typeName, () => {
      const spelled = desc.values.map((value) => {
        const name = isLegacy ? getOption(value, valueOption).spelling || value.name : value.name;
        return { name, comment: comments[`${desc.typeName}.${value.name}`] ?? "" };
      });
      const list = spelled.map(({ name, comment }) => `- \`${name}\`: ${comment.replaceAll("\n", " ")}`).join("\n");
      const text = [comments[desc.typeName], list].filter((part) => part).join("\n\n");
      return { type: "string", enum: [...new Set(spelled.map(({ name }) => name))], ...described(text) };
    });
  };
  const wellKnown = (desc: DescMessage): JsonObject | undefined => {
    const [inner] = desc.fields;
    if (isWrapperDesc(desc) && inner?.scalar) return scalarOf(inner.scalar);
    return wellKnownSchemas.get(desc.typeName);
  };
  const scalarOf = (type: ScalarType | undefined): JsonObject => {
    const big = bigIntegers.get(type);
    if (big !== undefined) {
      return isLegacy ? { type: "integer", ...big } : { type: "string", format: big.format, pattern: "^-?[0-9]+$" };
    }
    return scalars.get(type) ?? { type: "integer", format: "int32" };
  };
  return { message, field: ofField, object };
}

/** A comment, where there is one. */
export function described(text: string | undefined): JsonObject {
  return text ? { description: text } : {};
}

function orNull(schema: JsonObject): JsonObject {
  if (schema.$ref !== undefined) return { anyOf: [schema, { type: "null" }] };
  return typeof schema.type === "string" ? { ...schema, type: [schema.type, "null"] } : schema;
}

const uint32 = { type: "integer", minimum: 0, maximum: 4_294_967_295 };
const scalars = new Map<ScalarType | undefined, JsonObject>([
  [ScalarType.STRING, { type: "string" }],
  [ScalarType.BOOL, { type: "boolean" }],
  [ScalarType.BYTES, { type: "string", contentEncoding: "base64" }],
  [ScalarType.DOUBLE, { type: "number", format: "double" }],
  [ScalarType.FLOAT, { type: "number", format: "float" }],
  [ScalarType.UINT32, uint32],
  [ScalarType.FIXED32, uint32],
]);
const int64 = { format: "int64" };
const uint64 = { format: "uint64", minimum: 0 };
const bigIntegers = new Map<ScalarType | undefined, { format: string; minimum?: number }>([
  [ScalarType.INT64, int64],
  [ScalarType.SINT64, int64],
  [ScalarType.SFIXED64, int64],
  [ScalarType.UINT64, uint64],
  [ScalarType.FIXED64, uint64],
]);

const anything: JsonValue = {};
const wellKnownSchemas = new Map<string, JsonObject>([
  ["google.protobuf.Timestamp", { type: "string", format: "date-time" }],
  ["google.protobuf.Duration", { type: "string", pattern: "^-?[0-9]+(\\.[0-9]+)?s$" }],
  ["google.protobuf.FieldMask", { type: "string" }],
  ["google.protobuf.Struct", { type: "object", additionalProperties: anything }],
  ["google.protobuf.Value", anything],
  ["google.protobuf.ListValue", { type: "array", items: anything }],
  [
    "google.protobuf.Any",
    {
      type: "object",
      properties: { "@type": { type: "string" } },
      required: ["@type"],
      additionalProperties: anything,
    },
  ],
]);
