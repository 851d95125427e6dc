import { expect, test } from "vitest";
import { isWithin, readCidr } from "./cidr.ts";

test.each([
  ["10.8.0.1/24", "10.8.0.0/24", "10.8.0.1/24", "ipv4"],
  ["10.8.0.7/32", "10.8.0.7/32", "10.8.0.7/32", "ipv4"],
  ["0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0", "ipv4"],
  ["FD00:0::0001/64", "fd00::/64", "fd00::1/64", "ipv6"],
  ["::/0", "::/0", "::/0", "ipv6"],
  ["255.255.255.255/1", "128.0.0.0/1", "255.255.255.255/1", "ipv4"],
  ["2001:db8:1:2:3:4:5:6/128", "2001:db8:1:2:3:4:5:6/128", "2001:db8:1:2:3:4:5:6/128", "ipv6"],
  ["2001:db8::ff:0:0:1/65", "2001:db8::/65", "2001:db8::ff:0:0:1/65", "ipv6"],
  ["::1:0:0/112", "::1:0:0/112", "::1:0:0/112", "ipv6"],
  ["::ffff:10.8.0.1/128", "::ffff:a08:1/128", "::ffff:a08:1/128", "ipv6"],
])("%s is the range %s", (text, range, address, family) => {
  expect(readCidr(text)).toMatchObject({ range, address, prefix: Number(text.split("/")[1]), family });
});

test.each([
  "",
  "10.8.0.1",
  "10.8.0.1/33",
  "10.8.0.1/-1",
  "10.8.0.1/",
  "10.8/24",
  "10.8.0.1/24/24",
  "10.8.0.1/+24",
  "[fd00::1]/64",
  "fd00:::1/64",
  "010.8.0.1/24",
  "0x0a.8.0.1/24",
  "fd00::1",
  "fd00::1/129",
  "fd00::1%eth0/64",
  " 10.8.0.1/24",
  "10.8.0.1/24\n",
  "example.org/24",
])("%j is no range", (text) => expect(readCidr(text)).toBeUndefined());

test.each([
  ["10.8.0.7/32", "10.8.0.0/24", true],
  ["10.8.0.0/24", "10.8.0.0/24", true],
  ["10.8.0.0/23", "10.8.0.0/24", false],
  ["10.8.1.7/32", "10.8.0.0/24", false],
  ["10.8.0.7/32", "0.0.0.0/0", true],
  ["fd00::7/128", "fd00::/64", true],
  ["fd01::7/128", "fd00::/64", false],
  ["fd00::7/128", "0.0.0.0/0", false],
  ["0.0.0.0/32", "::/0", false],
  ["8000::/1", "::/1", false],
])("%s within %s: %s", (inner, outer, isInside) => {
  const [one, other] = [readCidr(inner), readCidr(outer)];
  expect(one && other && isWithin(one, other)).toBe(isInside);
});
