import { type DescField, getOption, hasOption, type JsonObject } from "@bufbuild/protobuf";
import { type FieldRules, field as rulesOption } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

/** What the rules of a field say that a JSON schema can say too. The rest is in its comment. */
export function constraintsOf(field: DescField): JsonObject {
  if (!hasOption(field, rulesOption)) return {};
  const { type } = getOption(field, rulesOption);
  switch (type.case) {
    case "string":
      return defined({
        minLength: positive(type.value.minLen),
        maxLength: positive(type.value.maxLen),
        pattern: type.value.pattern || undefined,
        format: type.value.wellKnown.case && formats.get(type.value.wellKnown.case),
        enum: type.value.in.length > 0 ? type.value.in : undefined,
      });
    case "repeated":
      return defined({
        minItems: positive(type.value.minItems),
        maxItems: positive(type.value.maxItems),
        uniqueItems: type.value.unique || undefined,
      });
    case "int32":
    case "uint32":
    case "int64":
    case "uint64":
    case "double":
    case "float":
      return boundsOf(type.value);
    default:
      return {};
  }
}

type NumberRules = Extract<FieldRules["type"], { case: "int32" | "uint32" | "int64" | "uint64" | "double" | "float" }>;

function boundsOf({ greaterThan, lessThan }: NumberRules["value"]): JsonObject {
  const low = greaterThan.case && {
    [greaterThan.case === "gte" ? "minimum" : "exclusiveMinimum"]: Number(greaterThan.value),
  };
  const high = lessThan.case && { [lessThan.case === "lte" ? "maximum" : "exclusiveMaximum"]: Number(lessThan.value) };
  return { ...low, ...high };
}

const formats = new Map<string, string>([
  ["email", "email"],
  ["uuid", "uuid"],
  ["uri", "uri"],
  ["hostname", "hostname"],
  ["ipv4", "ipv4"],
  ["ipv6", "ipv6"],
]);

function positive(value: bigint): number | undefined {
  return value > 0n ? Number(value) : undefined;
}

function defined(schema: Record<string, number | string | boolean | string[] | undefined>): JsonObject {
  return Object.fromEntries(
    Object.entries(schema).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
