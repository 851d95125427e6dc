import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeEvent, encodeEvent } from "./event-bus.ts";

const payloads = fc.string({ unit: "binary", maxLength: 3_000 }).filter((text) => !text.includes("\0"));

test("any payload comes back whole or not at all, in a message that PostgreSQL takes", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z][a-z0-9.-]{0,62}$/), payloads, (topic, payload) => {
      const message = encodeEvent(topic, payload);
      expect(Buffer.byteLength(message)).toBeLessThan(8_000);
      const fits = Buffer.byteLength(`${topic} ${payload}`) < 8_000;
      expect(decodeEvent(message)).toEqual({ topic, payload: fits ? payload : undefined });
    }),
  );
});

test("a payload with a zero character, which PostgreSQL cannot send, is refused on both engines", () => {
  expect(() => encodeEvent("users", "a\0b")).toThrow(TypeError);
});
