import { expect, test } from "vitest";
import { checkNodeAddresses } from "./node-addresses.ts";

test.each([
  {},
  { host: "", ip: "" },
  { host: "fra-1.example.org", ip: "192.0.2.1" },
  { host: "узел.example.org" },
  { host: "2001:db8::1", ip: "2001:db8::1" },
  { host: "[2001:db8::1]" },
])("users can reach %j", (addresses) => {
  expect(() => checkNodeAddresses(addresses)).not.toThrow();
});

test.each([
  ["host", { host: "https://fra-1.example.org" }],
  ["host", { host: "192.0.2.1:443" }],
  ["host", { host: "fra-1 example" }],
  ["host", { host: "fra-1\nexample" }],
  ["host", { host: "fe80::1%eth0" }],
  ["ip", { ip: "fe80::1%eth0" }],
])("a wrong %s is refused: %j", (field, addresses) => {
  const refusal = { code: "FIELD_INVALID", message: expect.stringMatching(`^${field}: `) };
  expect(() => checkNodeAddresses(addresses)).toThrow(expect.objectContaining(refusal));
});
