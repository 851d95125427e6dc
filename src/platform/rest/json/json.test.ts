import {
  create,
  createRegistry,
  fromJsonString,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { arbitraryKinds } from "../../../../test/rest/arbitrary-kinds.ts";
import {
  file_garrison_resttest_v1_kinds,
  type Kinds,
  KindsSchema,
  type Ruled,
  RuledSchema,
  Severity,
} from "../../../../test/rest/gen/garrison/resttest/v1/kinds_pb.ts";
import { captureValue, expectEnd, openCursor } from "./cursor.ts";
import { createReaders, openText } from "./reader.ts";
import { createWriters } from "./writer.ts";

const registry = createRegistry(file_garrison_resttest_v1_kinds, TimestampSchema);
const readers = createReaders(registry);
const writers = createWriters(registry, false);
const writersOfAll = createWriters(registry, true);
const readKinds = (text: string) => readers.message(KindsSchema)(openText(text)) as Kinds;
const readLargeKinds = (text: string) => readers.largeMessage(KindsSchema)(openText(text)) as Promise<Kinds>;
const readRuled = (text: string) => readers.message(RuledSchema)(openText(text)) as Ruled;
const writeKinds = (init: MessageInitShape<typeof KindsSchema>, emitDefaults = false) =>
  (emitDefaults ? writersOfAll : writers).message(KindsSchema)(create(KindsSchema, init));
const writeRuled = (init: MessageInitShape<typeof RuledSchema>) =>
  writers.message(RuledSchema)(create(RuledSchema, init));

describe("round trips", () => {
  test.each([false, true])("what is written is JSON and reads back as the same message; emitDefaults: %s", (all) => {
    const write = (all ? writersOfAll : writers).message(KindsSchema);
    fc.assert(
      fc.property(arbitraryKinds(), (message) => {
        const text = write(message);
        JSON.parse(text);
        expect(readKinds(text)).toEqual(message);
      }),
      { numRuns: 50 },
    );
  });

  test("a message that is read in slices is the same", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryKinds(), async (message) => {
        expect(await readLargeKinds(writeKinds(message))).toEqual(message);
      }),
      { numRuns: 50 },
    );
    expect(await readLargeKinds('{"nobody": [1], "childList": null, "nothing": {}}')).toEqual(readKinds("{}"));
  });

  test("a message that is read in slices lets others have their turn", async () => {
    const childList = Array.from({ length: 20_000 }, (_, n) => ({ stringValue: `element ${n}` }));
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 0);
    const read = await readLargeKinds(JSON.stringify({ childList }));
    clearInterval(timer);
    expect(read.childList.map(({ stringValue }) => stringValue)).toEqual(childList.map((each) => each.stringValue));
    expect(turns).toBeGreaterThan(3);
  });

  test("canonical proto JSON is read as well", () => {
    fc.assert(
      fc.property(arbitraryKinds(1), (message) => {
        const text = toJsonString(KindsSchema, message, { registry, prettySpaces: 2 });
        expect(readKinds(text)).toEqual(fromJsonString(KindsSchema, text, { registry }));
      }),
    );
  });

  test("elements of a list are read alike, whichever members come in whichever order, and repeat or nearly do", () => {
    const texts = [
      "2026-05-10T12:34:00Z",
      '2026-05-10T12:34:00"',
      "2026-05-10T12:34:00Z2026",
      "ä".repeat(20),
      "short",
      "",
    ];
    const value = {
      stringValue: fc.constantFrom(...texts).map((text) => JSON.stringify(text)),
      maybeString: fc
        .constantFrom(...texts, "\u00e42026-05-10T12:34:00Z")
        .map((text) => JSON.stringify(text).replace("5", "\\u0035")),
      // In quotes: the canonical reader rounds those that are not.
      int64Value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => `"${value}"`),
      uint64Value: fc.constantFrom("0", "-0", "7", "1e3", "999999999999999", "1000000000000000", '"12"', "1.0"),
      int32Value: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map(String),
      maybeInt64: fc.constantFrom("null", "1", "-1"),
      boolValue: fc.constantFrom("true", "false"),
      unknown: fc.json(),
    };
    const element = fc
      .record(value, { requiredKeys: [] })
      .chain((members) => fc.shuffledSubarray(Object.entries(members)))
      .chain((members) => fc.tuple(fc.constant(members), fc.constantFrom("", " ", "\n")))
      .map(
        ([members, space]) =>
          `{${members.map(([name, text]) => `"${name}"${space}:${space}${text}`).join(`,${space}`)}}`,
      );
    fc.assert(
      fc.property(fc.array(element), (elements) => {
        const text = `{"childList":[${elements.join(",")}]}`;
        const expected = fromJsonString(KindsSchema, text, { registry, ignoreUnknownFields: true });
        expect(readKinds(text)).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  test("an embedded document is captured and embedded as it is written", () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom("", " ", "\n\t"), (document, space) => {
        const { document: captured } = readRuled(`{"document":${space}${document}${space}}`);
        expect(captured).toBe(document === "null" ? "" : document);
        if (captured !== "") expect(writeRuled({ document: captured })).toContain(`"document":${document}`);
      }),
    );
  });
});

describe("the cursor agrees with JSON.parse about what is JSON", () => {
  const isAccepted = (read: () => void) => {
    try {
      read();
      return true;
    } catch {
      return false;
    }
  };
  const isRead = (text: string) =>
    isAccepted(() => {
      const cursor = openCursor(text);
      captureValue(cursor);
      expectEnd(cursor);
    });

  test("on texts of JSON with a character replaced, added or taken away", () => {
    const character = fc.constantFrom(...'{}[]",:\\-+.eE0123456789 \n\ttrufalsn\u0001/xb');
    const mutated = fc
      .tuple(fc.json({ maxDepth: 3 }), fc.nat(), fc.nat(1), fc.option(character, { nil: "" }))
      .map(([text, place, taken, added]) => {
        const at = place % (text.length + 1);
        return text.slice(0, at) + added + text.slice(at + taken);
      });
    fc.assert(
      fc.property(mutated, (text) => {
        expect(isRead(text)).toBe(isAccepted(() => JSON.parse(text)));
      }),
      { numRuns: 2000 },
    );
  });

  test.each(["", " ", "{", "[", '"', '"\\', '{"a"', '{"a":', "[1,", "-", "01", "1.", ".5", "1e", "+1", "nul", "NaN"])(
    "on %j, which is none",
    (text) => {
      expect(isRead(text)).toBe(false);
    },
  );
});

describe("what is written", () => {
  test.each<[string, MessageInitShape<typeof KindsSchema>, string]>([
    ["a 64-bit integer as an exact number", { int64Value: 9007199254740995n }, '{"int64Value":9007199254740995}'],
    ["the largest uint64", { uint64Value: 2n ** 64n - 1n }, '{"uint64Value":18446744073709551615}'],
    [
      "an int64 that lies in memory as a string",
      { textInt64Value: "9007199254740995" },
      '{"textInt64Value":9007199254740995}',
    ],
    ["an enum in its spelling", { severity: Severity.HIGH }, '{"severity":"high"}'],
    ["an enum value that the contract does not know as its number", { severity: 77 as Severity }, '{"severity":77}'],
    ["a time of whole seconds", { timestamp: { seconds: 1767225600n } }, '{"timestamp":"2026-01-01T00:00:00Z"}'],
    ["a time of milliseconds", { timestamp: { nanos: 5_000_000 } }, '{"timestamp":"1970-01-01T00:00:00.005Z"}'],
    ["a time of nanoseconds", { timestamp: { nanos: 5 } }, '{"timestamp":"1970-01-01T00:00:00.000000005Z"}'],
    ["a duration", { duration: { seconds: 1n, nanos: 500_000_000 } }, '{"duration":"1.500s"}'],
    ["bytes in base64", { bytesValue: new Uint8Array([255, 254]) }, '{"bytesValue":"//4="}'],
    ["a wrapper as its bare value", { int64Wrapper: 2n ** 60n }, '{"int64Wrapper":1152921504606846976}'],
    ["a Struct as its object", { struct: { a: [1, null] } }, '{"struct":{"a":[1,null]}}'],
    ["a map", { int64ByString: { 'a"': 2n ** 53n } }, '{"int64ByString":{"a\\"":9007199254740992}}'],
    ["a present optional zero", { maybeInt32: 0 }, '{"maybeInt32":0}'],
    [
      "a chosen member of a oneof, though it is the default",
      { choice: { case: "textChoice", value: "" } },
      '{"textChoice":""}',
    ],
    ["what no number of JSON can be, as a string", { doubleValue: Number.NaN }, '{"doubleValue":"NaN"}'],
    ["nothing", {}, "{}"],
  ])("%s", (_what, init, text) => {
    expect(writeKinds(init)).toBe(text);
  });

  test("a message that holds itself, with defaults at every level", () => {
    const outer = JSON.parse(writeKinds({ child: {} }, true));
    expect(outer).toMatchObject({ int64Value: 0, stringList: [], severity: "SEVERITY_UNSPECIFIED", int64ByString: {} });
    expect(outer.child).toMatchObject({ int64Value: 0, boolValue: false, bytesValue: "", stringValue: "" });
    expect(outer.child).not.toHaveProperty("maybeInt32");
    expect(outer.child).not.toHaveProperty("child");
  });

  test("nulls and defaults where the contract says so, and nowhere else", () => {
    expect(writeRuled({})).toBe('{"documentOrNull":null,"ownerId":null,"parent":null,"total":0,"tags":[],"counts":{}}');
  });

  test("a document verbatim: digits, order of members, and white space", () => {
    const document = '{ "b": 12345678901234567890, "2": 1.10, "1": [] }';
    expect(writeRuled({ document, documents: [document, "1"], documentByName: { x: document } })).toBe(
      `{"document":${document},"documents":[${document},1],"documentByName":{"x":${document}},` +
        '"documentOrNull":null,"ownerId":null,"parent":null,"total":0,"tags":[],"counts":{}}',
    );
  });

  test("no text that is not JSON: a document that is none is a fault of the handler", () => {
    expect(() => writeRuled({ document: "{" })).toThrow("Ruled.document does not hold JSON");
    expect(() => writeKinds({ int32Value: Number.NaN })).toThrow("expected an integer");
    expect(() => writeKinds({ stringValue: 1 as unknown as string })).toThrow("expected a string");
  });
});

describe("what is read", () => {
  const protoKey: Record<string, bigint> = Object.fromEntries([["__proto__", 1n]]);
  test.each<[string, string, Partial<Kinds>]>([
    [
      "an integer beyond 2^53 as a number, exactly",
      '{"int64Value":9007199254740993}',
      { int64Value: 9007199254740993n },
    ],
    ["the same as a string", '{"int64Value":"9007199254740993"}', { int64Value: 9007199254740993n }],
    ["an integer with an exponent", '{"uint64Value":1.8e19}', { uint64Value: 18000000000000000000n }],
    ["an integer with a point", '{"int32Value":-3.00}', { int32Value: -3 }],
    ["a 32-bit integer as a string", '{"uint32Value":"4294967295"}', { uint32Value: 4294967295 }],
    ["zero in every dress", '{"int64Value":0.0e5,"int32Value":-0}', { int64Value: 0n, int32Value: 0 }],
    ["a float, as a float holds it", '{"floatValue":0.1}', { floatValue: Math.fround(0.1) }],
    ["proto names", '{"int64_value":1,"string_list":["a"]}', { int64Value: 1n, stringList: ["a"] }],
    ["an enum by its spelling, in any case", '{"severity":"HIGH"}', { severity: Severity.HIGH }],
    ["an enum by another spelling", '{"severity":"Severe"}', { severity: Severity.HIGH }],
    ["an enum by its proto name, in any case", '{"severity":"severity_low"}', { severity: Severity.LOW }],
    ["an enum by its number, also in quotes", '{"severity":2,"maybeSeverity":"1"}', { severity: 2, maybeSeverity: 1 }],
    ["unknown fields, and passes over them", '{"x":{"y":[1,{"z":"}"}]},"boolValue":true}', { boolValue: true }],
    ["null as absent", '{"maybeInt32":null,"stringList":null,"child":null,"int32Value":null}', {}],
    ["base64 of either alphabet, without padding", '{"bytesValue":"__4"}', { bytesValue: new Uint8Array([255, 254]) }],
    ["escapes", '{"string\\u0056alue":"\\ud83d\\ude00\\n"}', { stringValue: "😀\n" }],
    ["a byte order mark", '\ufeff{"boolValue":true}', { boolValue: true }],
    ["a key that is the prototype's", '{"int64ByString":{"__proto__":1}}', { int64ByString: protoKey }],
  ])("%s", (_what, text, expected) => {
    expect(readKinds(text)).toEqual({ ...create(KindsSchema), ...expected });
  });

  test("fields under an alias, a proto name and a JSON name of their own", () => {
    expect(readRuled('{"sigmaRuleId":"a"}').ruleId).toBe("a");
    expect(readRuled('{"rule_id":"a"}').ruleId).toBe("a");
    expect(readRuled('{"org_id":"a"}').organisation).toBe("a");
    expect(readRuled('{"organisation":"a"}').organisation).toBe("a");
  });

  test("an unknown enum spelling as zero where the contract says so", () => {
    expect(readRuled('{"severity":"catastrophic"}').severity).toBe(Severity.UNSPECIFIED);
    expect(readRuled('{"severity":9}').severity).toBe(Severity.UNSPECIFIED);
    expect(readRuled('{"severity":"low"}').severity).toBe(Severity.LOW);
  });
});

describe("what is refused, naming the place", () => {
  test.each([
    ['{"int32Value":2147483648}', "int32Value: 2147483648 is not between -2147483648 and 2147483647"],
    ['{"int64Value":9223372036854775808}', "int64Value: 9223372036854775808 is not between"],
    ['{"uint64Value":-1}', "uint64Value: -1 is not between 0 and 18446744073709551615"],
    ['{"int64Value":1.5}', "int64Value: expected an integer, got 1.5"],
    ['{"int64Value":1e999999999}', "int64Value: 1e999999999 is not between"],
    ['{"int64Value":"abc"}', 'int64Value: expected an integer, got "abc"'],
    ['{"int64Value":""}', 'int64Value: expected an integer, got ""'],
    ['{"doubleValue":"1e999"}', "doubleValue: 1e999 is out of range"],
    ['{"floatValue":1e39}', "floatValue: 1e39 is out of range"],
    ['{"stringValue":1}', "stringValue: expected a string, got a number"],
    ['{"boolValue":"true"}', "boolValue: expected true or false, got a string"],
    ['{"bytesValue":"$"}', "bytesValue: expected bytes in base64"],
    [
      '{"childList":[{},{"severity":"purple"}]}',
      'childList[1].severity: "purple" is none of SEVERITY_UNSPECIFIED, low, high',
    ],
    ['{"severity":77}', "severity: 77 is none of"],
    ['{"stringList":"a"}', "stringList: expected a list, got a string"],
    ['{"stringList":["a",null]}', "stringList[1]: expected a string, got null"],
    ['{"child":[]}', "child: expected an object, got a list"],
    ['{"childByInt64":{"x":{}}}', 'childByInt64.x: expected an integer, got "x"'],
    ['{"timestamp":"yesterday"}', "timestamp: expected a time such as"],
    ['{"struct":[]}', "struct: expected an object, got a list"],
    ['{"any":{"@type":"x/unknown.Type"}}', "any: expected an object with the type's URL"],
    ['{"int64Value":1,"int64_value":1}', "int64_value: the field is given twice"],
    ['{"textChoice":"a","numberChoice":1}', "numberChoice: only one of textChoice, numberChoice"],
    ['{"stringValue":"\\ud800"}', "stringValue: a string has half a surrogate pair"],
    ['{"stringValue":"a\nb"}', "stringValue: a string has an escape or a control character"],
    ['{"stringValue":"a}', "stringValue: a string has no end"],
    ['{"boolValue":true', "expected `,` or `}`, but the text ends"],
    ["[]", "expected an object, got a list"],
    ["", "expected an object, but the text ends"],
    ["hello", 'expected an object at character 1, got "h"'],
  ])("%j", async (text, message) => {
    expect(() => readKinds(text)).toThrow(message);
    await expect(readLargeKinds(text)).rejects.toThrow(message);
  });

  test("two names of one field, alias or not", () => {
    expect(() => readRuled('{"ruleId":"a","sigmaRuleId":"b"}')).toThrow("sigmaRuleId: the field is given twice");
  });

  test.each([
    ["known messages", '{"child":'.repeat(100_000)],
    ["unknown fields", `{"x":${"[".repeat(100_000)}`],
    ["a Struct", `{"struct":${'{"a":'.repeat(100_000)}`],
    ["a Value", `{"value":${"[".repeat(100_000)}`],
  ])("what lies more than 100 deep: %s", (_what, text) => {
    expect(() => readKinds(text)).toThrow("more than 100 deep");
    expect(() => readRuled(`{"document":${text}`)).toThrow("more than 100 deep");
  });

  test("but not what lies 100 deep", () => {
    const text = `${'{"child":'.repeat(99)}{"boolValue":true}${"}".repeat(99)}`;
    expect(toBinary(KindsSchema, readKinds(text)).length).toBeGreaterThan(99);
  });

  test.each([
    ["nines", "9".repeat(1_000_000), "99999… is not between"],
    ["zeros", `1${"0".repeat(1_000_000)}1`, "00000… is not between"],
    ["zeros behind the point", `0.1${"0".repeat(1_000_000)}1`, "expected an integer"],
  ])("long numbers without taking long: %s", (_what, digits, message) => {
    const startedAt = performance.now();
    expect(() => readKinds(`{"int64Value":${digits}}`)).toThrow(message);
    expect(() => readKinds(`{"int64Value":"${digits}"}`)).toThrow(message);
    expect(performance.now() - startedAt).toBeLessThan(1000);
  });
});
