import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CallHeaders } from "./call-headers.ts";

describe("the header of a call is a Headers", () => {
  const name = fc.constantFrom("x-a", "X-A", "x-b", "content-type", "set-cookie", "constructor", "__proto__");
  const value = fc.constantFrom("", "a", " padded\t", "caf\u00e9", "a, b", "5");
  const step = fc.oneof(
    fc.record({ verb: fc.constantFrom("set", "append"), name, value }),
    fc.record({ verb: fc.constantFrom("delete", "get", "has"), name }),
    fc.record({ verb: fc.constant("list") }),
  );

  test.each([
    ["to be sent", (fields: Record<string, string>) => CallHeaders.sent({ ...fields })],
    ["that was received", (fields: Record<string, string>) => CallHeaders.received(fields)],
  ])("whatever is done to one %s", (_kind, make) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const fields = { "content-type": "application/grpc", "x-a": "first" };
        const ours = make(fields);
        const standard = new Headers(fields);
        for (const each of steps) expect(take(ours, each)).toEqual(take(standard, each));
        expect([...ours]).toEqual([...standard]);
        expect(ours.getSetCookie()).toEqual(standard.getSetCookie());
        expect(fields).toEqual({ "content-type": "application/grpc", "x-a": "first" });
      }),
    );
  });

  test("with the fields of Node, pseudo-headers left out", () => {
    const header = CallHeaders.received({
      ":path": "/a",
      "set-cookie": ["a=1", "b=2"],
      "x-none": undefined,
      "x-a": "1",
    });
    expect(header.get("X-A")).toBe("1");
    expect(header.has("x-none")).toBe(false);
    expect(header.getSetCookie()).toEqual(["a=1", "b=2"]);
    expect([...header.keys()]).toEqual(["set-cookie", "set-cookie", "x-a"]);
  });

  test("that refuses what Headers refuses", () => {
    const header = CallHeaders.sent({});
    expect(() => header.set("x a", "1")).toThrow(TypeError);
    expect(() => header.set("x-a", "1\r\nx-b: 2")).toThrow(TypeError);
    expect(() => header.set("x-a", "\u20ac")).toThrow(TypeError);
    expect(header.toFields()).toEqual({});
  });

  test("that gives Node its fields, with those that come more than once as lists", () => {
    const plain = CallHeaders.sent({ ":status": 200, "x-a": "1" });
    plain.set("x-b", "2");
    expect(plain.toFields()).toEqual({ ":status": 200, "x-a": "1", "x-b": "2" });
    plain.append("x-a", "3");
    plain.append("Set-Cookie", "a=1");
    plain.append("set-cookie", "b=2");
    expect(plain.toFields()).toEqual({ ":status": 200, "x-a": "1, 3", "x-b": "2", "set-cookie": ["a=1", "b=2"] });
  });
});

function take(header: Headers, step: { verb: string; name?: string; value?: string }): unknown {
  const { verb, name = "", value = "" } = step;
  switch (verb) {
    case "set":
      return header.set(name, value);
    case "append":
      return header.append(name, value);
    case "delete":
      return header.delete(name);
    case "get":
      return header.get(name);
    case "has":
      return header.has(name);
    default: {
      const listed: string[] = [];
      header.forEach((each, key) => {
        listed.push(`${key}: ${each}`);
      });
      return listed;
    }
  }
}
