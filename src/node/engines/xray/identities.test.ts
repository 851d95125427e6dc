import { expect, test } from "vitest";
import { Identities } from "./identities.ts";

test("a user has an identity until it is gone from every inbound, whoever else has it", () => {
  const identities = new Identities();
  identities.add(1, "a");
  identities.add(1, "a");
  identities.add(1, "b");
  expect(identities.keysOf(1)).toEqual(["a", "b"]);
  identities.delete(1, "a");
  expect(identities.keysOf(1)).toEqual(["a", "b"]);
  identities.delete(1, "a");
  identities.delete(1, "nobody");
  expect(identities.keysOf(1)).toEqual(["b"]);
  identities.add(1, "c");
  identities.add(1, "d");
  identities.delete(1, "c");
  expect(identities.keysOf(1)).toEqual(["b", "d"]);
  identities.delete(1, "b");
  expect(identities.keysOf(1)).toEqual(["d"]);
  identities.delete(1, "d");
  expect(identities.keysOf(1)).toEqual([]);
  expect(identities.keysOf(2)).toEqual([]);
});
