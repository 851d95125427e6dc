import { create, fromJson, type JsonObject, type JsonValue, type MessageInitShape } from "@bufbuild/protobuf";
import { type Any, anyPack, TimestampSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { type Kinds, KindsSchema, Severity } from "./gen/garrison/resttest/v1/kinds_pb.ts";

/** Messages with every kind of field, up to three levels deep, as a client could send them over the wire. */
export function arbitraryKinds(depth = 2): fc.Arbitrary<Kinds> {
  // The values fit the fields, which the type of a record of so many arbitraries cannot show.
  return fc.record(fieldsOf(depth), { requiredKeys: [] }).map((init) => create(KindsSchema, init as Init));
}

type Init = MessageInitShape<typeof KindsSchema>;

const text = fc.string({ unit: "binary", maxLength: 12 }).filter((value) => value.isWellFormed());
const float = fc.oneof(fc.float(), fc.constantFrom(0, -0, Number.NaN, Number.POSITIVE_INFINITY));
const double = fc.oneof(fc.double(), fc.constantFrom(0, -0, Number.NaN, Number.NEGATIVE_INFINITY, 1e300, 5e-324));
const int32 = fc.oneof(fc.integer(), fc.constantFrom(-(2 ** 31), 2 ** 31 - 1));
const uint32 = fc.oneof(fc.nat(), fc.constant(2 ** 32 - 1));
const int64 = fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.constantFrom(2n ** 53n + 1n, -(2n ** 63n)));
const uint64 = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.constant(2n ** 64n - 1n));
const bytes = fc.uint8Array({ maxLength: 9 });
const severity = fc.constantFrom(...Object.values(Severity));
const struct = fc.dictionary(text, fc.jsonValue({ maxDepth: 2 })).map((value) => plain(value) as JsonObject);
const timestamp = fc
  .record({ seconds: fc.bigInt(-62_135_596_800n, 253_402_300_799n), nanos: fc.nat(999_999_999) })
  .map((init) => create(TimestampSchema, init));

function plain(value: unknown): JsonValue {
  return JSON.parse(JSON.stringify(value)) as JsonValue;
}

function fieldsOf(depth: number): Partial<Record<keyof Kinds, fc.Arbitrary<unknown>>> {
  return {
    doubleValue: double,
    floatValue: float,
    int32Value: int32,
    int64Value: int64,
    uint32Value: uint32,
    uint64Value: uint64,
    sint32Value: int32,
    sint64Value: int64,
    fixed32Value: uint32,
    fixed64Value: uint64,
    sfixed32Value: int32,
    sfixed64Value: int64,
    boolValue: fc.boolean(),
    stringValue: text,
    bytesValue: bytes,
    severity,
    textInt64Value: int64.map(String),
    maybeInt32: int32,
    maybeString: text,
    maybeSeverity: severity,
    maybeInt64: int64,
    int64List: fc.array(int64, { maxLength: 3 }),
    stringList: fc.array(text, { maxLength: 3 }),
    severityList: fc.array(severity, { maxLength: 3 }),
    doubleList: fc.array(double, { maxLength: 3 }),
    bytesList: fc.array(bytes, { maxLength: 3 }),
    int64ByString: fc.dictionary(text, int64, { maxKeys: 3 }),
    stringByInt32: fc.dictionary(int32.map(String), text, { maxKeys: 3 }),
    severityByBool: fc.dictionary(fc.constantFrom("true", "false"), severity),
    choice: fc.oneof(
      text.map((value) => ({ case: "textChoice", value })),
      uint64.map((value) => ({ case: "numberChoice", value })),
      text.map((value) => ({ case: "wrapperChoice", value: { $typeName: "google.protobuf.StringValue", value } })),
      struct.map((value) => ({ case: "structChoice", value })),
    ),
    timestamp,
    timestampList: fc.array(timestamp, { maxLength: 2 }),
    duration: fc
      .record({ seconds: fc.bigInt(0n, 315_576_000_000n), nanos: fc.nat(999_999_999) })
      .map((init) => ({ $typeName: "google.protobuf.Duration", ...init })),
    fieldMask: fc
      .array(fc.constantFrom("a", "b.c", "snake_case"), { maxLength: 3 })
      .map((paths) => ({ $typeName: "google.protobuf.FieldMask", paths })),
    struct,
    value: fc.jsonValue({ maxDepth: 2 }).map((value) => fromJson(ValueSchema, plain(value))),
    any: any(),
    int64Wrapper: int64,
    stringWrapper: text,
    boolWrapper: fc.boolean(),
    bytesWrapper: bytes,
    structList: fc.array(struct, { maxLength: 2 }),
    structByString: fc.dictionary(text, struct, { maxKeys: 2 }),
    ...(depth > 0 && {
      child: arbitraryKinds(depth - 1),
      childList: fc.array(arbitraryKinds(depth - 1), { maxLength: 2 }),
      childByInt64: fc.dictionary(int64.map(String), arbitraryKinds(0), { maxKeys: 2 }),
    }),
  };
}

function any(): fc.Arbitrary<Any> {
  return fc.oneof(
    timestamp.map((value) => anyPack(TimestampSchema, value)),
    text.map((stringValue) => anyPack(KindsSchema, create(KindsSchema, { stringValue }))),
  );
}
