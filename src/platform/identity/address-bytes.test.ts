import { expect, it } from "vitest";
import { addressBytes } from "./address-bytes.ts";

it.each([
  ["192.0.2.1", "c0000201"],
  ["0.0.0.0", "00000000"],
  ["::", "00000000000000000000000000000000"],
  ["2001:DB8::1", "20010db8000000000000000000000001"],
  ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
  ["::ffff:192.0.2.1", "00000000000000000000ffffc0000201"],
  ["fe80::1%eth0", "fe800000000000000000000000000001"],
])("%s is %s", (address, hex) => {
  expect(addressBytes(address).toString("hex")).toBe(hex);
});

it.each(["", "192.0.2", "192.0.2.256", "example.org", "[::1]", "1::2::3"])("%j is no address", (text) => {
  expect(() => addressBytes(text)).toThrow(RangeError);
});
