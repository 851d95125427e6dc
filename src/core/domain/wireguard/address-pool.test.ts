import { expect, test } from "vitest";
import { addressesOf, isPool, prefixedOf, rangeText, readPool, roomOf, singlesOf } from "./address-pool.ts";

const pool = (...ranges: string[]) => {
  const read = readPool(ranges);
  return isPool(read) ? read : expect.fail(`it is refused: ${read.reason}`);
};

test.each<[string[], number, string[]]>([
  [["10.66.0.0/16"], 2, ["10.66.0.2"]],
  [["10.66.0.0/16"], 65_534, ["10.66.255.254"]],
  [["10.0.0.0/8"], 2 ** 24 - 2, ["10.255.255.254"]],
  [["192.0.2.128/25"], 3, ["192.0.2.131"]],
  [["fd66:1:2::/64"], 65_536, ["fd66:1:2::1:0"]],
  [["fd66::ff00/120"], 255, ["fd66::ffff"]],
  [["fd66::/64", "10.66.0.0/16"], 258, ["10.66.1.2", "fd66::102"]],
])("the addresses of %j with the number %d are %j", (ranges, number, addresses) => {
  expect(addressesOf(pool(...ranges), number)).toEqual(addresses);
});

test("an address is told as a range of one, or with the prefix of its range", () => {
  const both = pool("fd66::/64", "10.66.0.0/16");
  expect(singlesOf(both, 2)).toEqual(["10.66.0.2/32", "fd66::2/128"]);
  expect(prefixedOf(both, 1)).toEqual(["10.66.0.1/16", "fd66::1/64"]);
  expect(both.ranges.map(rangeText)).toEqual(["10.66.0.0/16", "fd66::/64"]);
});

test.each<[string[], number]>([
  [["10.66.0.0/16"], 65_533],
  [["10.66.0.0/24", "fd66::/64"], 253],
  [["10.66.0.0/30"], 1],
  [["fd66::/126"], 2],
  [["10.66.0.0/16", "fd66::/120"], 254],
  [["fd66::/64"], 2 ** 24 - 3],
])("%j has room for %d users", (ranges, room) => expect(roomOf(pool(...ranges))).toBe(room));

test("numbers up to the last are addresses within the range, all of them different", () => {
  const small = pool("10.66.0.0/24", "fd66::/64");
  const numbers = Array.from({ length: small.lastNumber }, (_, index) => index + 1);
  const addresses = numbers.flatMap((number) => addressesOf(small, number));
  expect(new Set(addresses).size).toBe(2 * numbers.length);
  expect(addresses.filter((address) => !/^(10\.66\.0\.|fd66::)/.test(address))).toEqual([]);
  expect(addresses).not.toContain("10.66.0.255");
});
