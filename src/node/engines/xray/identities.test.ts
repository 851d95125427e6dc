import { expect, test } from "vitest";
import { Identities } from "./identities.ts";

test("a user has an identity until it is gone from every inbound, whoever else has it", () => {
  const identities = new Identities();
  identities.add("secret", "a");
  identities.add("secret", "a");
  identities.add("secret", "b");
  expect(identities.keysOf("secret")).toEqual(["a", "b"]);
  identities.delete("secret", "a");
  expect(identities.keysOf("secret")).toEqual(["a", "b"]);
  identities.delete("secret", "a");
  identities.delete("secret", "nobody");
  expect(identities.keysOf("secret")).toEqual(["b"]);
  identities.delete("secret", "b");
  expect(identities.keysOf("secret")).toEqual([]);
  expect(identities.keysOf("other")).toEqual([]);
});
