import { expect, test } from "vitest";
import { isPublic, ownAddress } from "./own-address.ts";

const face = (address: string, internal = false) =>
  ({ address, internal, netmask: "", mac: "", cidr: null, family: "IPv4" }) as const;

test.each([
  ["a public one before a local one", [face("10.0.0.2"), face("198.51.100.7")], "198.51.100.7"],
  ["IPv4 before IPv6", [face("2001:db8::1"), face("198.51.100.7")], "198.51.100.7"],
  ["a public IPv6 before a local IPv4", [face("192.168.1.2"), face("2001:db8::1")], "2001:db8::1"],
  ["a local one when there is no other", [face("127.0.0.1", true), face("172.17.0.2")], "172.17.0.2"],
  ["loopback when there is nothing", [face("127.0.0.1", true)], "127.0.0.1"],
])("a server's address is %s", (_, faces, expected) => {
  expect(ownAddress({ eth0: faces })).toBe(expected);
});

test("a server's address is none of its tunnels", () => {
  const interfaces = { wg0: [face("2001:db8::1")], eth0: [face("10.0.0.2")] };
  expect([ownAddress(interfaces), ownAddress(interfaces, ["wg0"])]).toEqual(["2001:db8::1", "10.0.0.2"]);
});

test.each([
  "10.1.2.3",
  "172.31.0.1",
  "192.168.0.1",
  "100.64.0.1",
  "169.254.1.1",
  "127.0.0.1",
  "::1",
  "fd00::1",
  "fe80::1",
])("%s is not reached from everywhere", (address) => expect(isPublic(address)).toBe(false));
