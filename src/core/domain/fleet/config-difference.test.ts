import { expect, test } from "vitest";
import { configDifference, createVeil } from "./config-difference.ts";

const differences = (before: unknown, after: unknown) => [...configDifference(before, after)];

test("equal configs have no differences", () => {
  const config = { services: { xray: { inbounds: [{ tag: "a", port: 1 }], outbounds: [1, 2] } } };
  expect(differences(config, structuredClone(config))).toEqual([]);
});

test("elements are known by tag or email, whatever their place", () => {
  const before = { inbounds: [{ tag: "a", clients: [{ email: "1.x", id: "u" }] }] };
  const after = { inbounds: [{ tag: "b" }, { tag: "a", clients: [{ email: "1.x", id: "v" }, { email: "1.y" }] }] };
  expect(differences(before, after)).toEqual([
    { path: "inbounds/a/clients/1.x/id", before: "u", after: "v" },
    { path: "inbounds/a/clients/1.y", before: undefined, after: { email: "1.y" } },
    { path: "inbounds/b", before: undefined, after: { tag: "b" } },
  ]);
});

test("elements that have changed places are told at their list", () => {
  const [one, two, three] = [{ tag: "a" }, { tag: "b" }, { tag: "c" }];
  expect(differences({ outbounds: [one, two] }, { outbounds: [two, three, one] })).toEqual([
    { path: "outbounds/c", before: undefined, after: three },
    { path: "outbounds", before: ["a", "b"], after: ["b", "a"] },
  ]);
});

test("elements with one name are known by their places", () => {
  expect(differences([{ tag: "a" }, { tag: "a", x: 1 }], [{ tag: "a" }, { tag: "a", x: 2 }])).toEqual([
    { path: "1/x", before: 1, after: 2 },
  ]);
});

test("a value of another kind is another value", () => {
  expect(differences({ a: [] }, { a: {} })).toEqual([{ path: "a", before: [], after: {} }]);
  expect(differences({ a: { b: 1 } }, { a: null })).toEqual([{ path: "a", before: { b: 1 }, after: null }]);
});

test("the UUIDs of links get names that are good for one answer", () => {
  const [one, other] = ["3b0a6a2e-7f0e-4f5e-9d0b-5a4f0c1e2d3b", "8f14e45f-ceea-467f-a8d1-3c5b1f0a9b77"];
  const veil = createVeil();
  expect(veil(`1.${one} 1.${other} ${one}`)).toBe("1.<secret-1> 1.<secret-2> <secret-1>");
  expect(veil(`2.${other}`)).toBe("2.<secret-2>");
  expect(createVeil()(other)).toBe("<secret-1>");
});
