import { expect, test } from "vitest";
import { canonicalJson, Verbatim } from "./canonical-json.ts";

test.each([
  // From RFC 8785, section 3.2.2 and 3.2.3.
  [
    {
      numbers: [333333333.3333333, 1e30, 4.5, 2e-3, 1e-27],
      string: "€$\u000F\u000aA'\u0042\u0022\u005c\\\"/",
      literals: [null, true],
    },
    '{"literals":[null,true],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  ],
  [
    { "€": 1, "\r": 2, \ufb33: 3, "1": 4, "😀": 5, "\u0080": 6, ö: 7 },
    '{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}',
  ],
  [{ b: undefined, a: -0, 10: [], 9: {} }, '{"10":[],"9":{},"a":0}'],
  [{ a: new Verbatim('{"x":1}') }, '{"a":{"x":1}}'],
])("%j is written as RFC 8785 says", (value, text) => {
  expect(canonicalJson(value)).toBe(text);
});

test.each([[() => 1], [Number.NaN], [1n], [[undefined]]])("%s is nothing that JSON knows", (value) => {
  expect(() => canonicalJson(value)).toThrow(TypeError);
});
