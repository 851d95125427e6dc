import { create } from "@bufbuild/protobuf";
import { beforeEach, expect, test } from "vitest";
import { SubscriptionTermsSchema } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { Links } from "../config/links.ts";
import { type AddressLimits, createAddressLimits } from "./address-limits.ts";

const uuid = (digit: number) => `${digit}0000000-0000-4000-8000-000000000000`;
const ip = (host: number) => `192.0.2.${host}`;

let seconds: number;
let limits: AddressLimits;
beforeEach(() => {
  seconds = 1_000;
  limits = createAddressLimits(() => seconds * 1_000);
  limit(2);
});

/** The links 1 and 2 are of subscription 5, which is limited; link 3 is of subscription 6, which is not. */
function limit(maxAddresses: number): void {
  const owner = (subscriptionId: number) => ({ userId: 1, subscriptionId });
  const owners = new Map([1, 2, 3].map((digit) => [uuid(digit), owner(digit === 3 ? 6 : 5)]));
  const links: Links = { owners, former: new Map(), protocols: new Map(), kinds: new Map() };
  limits.replace({ 5: create(SubscriptionTermsSchema, { maxAddresses }), 6: create(SubscriptionTermsSchema) }, links);
}

/** Hosts that are connected, each with the age in seconds of its newest connection. Returns those that are refused. */
function seen(...connected: [digit: number, hosts: Record<number, number>][]): number[] {
  limits.seen(
    new Map(
      connected.map(([digit, hosts]) => [
        `7.${uuid(digit)}`,
        Object.fromEntries(Object.entries(hosts).map(([host, age]) => [ip(Number(host)), BigInt(seconds - age)])),
      ]),
    ),
  );
  return limits.addressesOf(uuid(1)).map((address) => Number(address.split(".")[3]));
}

test("who came first stays, over whichever link, and who comes beyond the limit is refused until somebody goes", () => {
  expect(seen([1, { 1: 0 }])).toEqual([]);
  seconds += 10;
  expect(seen([1, { 1: 0 }], [2, { 2: 0, 1: 0 }])).toEqual([]);
  seconds += 10;
  expect(seen([1, { 1: 0, 3: 0 }], [2, { 2: 0 }])).toEqual([3]);
  seconds += 10;
  expect(seen([1, { 3: 0, 4: 0, 1: 9 }], [2, { 2: 0 }])).toEqual([3, 4]);
  expect([limits.refused, limits.addressesOf(uuid(2)), limits.addressesOf(uuid(3))]).toEqual([2, [ip(3), ip(4)], []]);
  expect(seen([1, { 3: 0, 4: 0, 1: 9 }])).toEqual([4]);
  expect(seen([1, { 4: 0, 3: 0 }])).toEqual([]);
  expect(seen()).toEqual([]);
});

test("of those that come at once, the one whose connection is the oldest comes first", () => {
  limit(1);
  limits = createAddressLimits(() => {
    seconds += 0.001; // time goes by while they are looked at
    return seconds * 1_000;
  });
  limit(1);
  expect(seen([1, { 8: 1, 9: 5 }])).toEqual([8]);
});

test("an address that opens no connection leaves its place to one that does, and not to nobody", () => {
  limit(1);
  expect(seen([1, { 1: 0 }])).toEqual([]);
  expect(seen([1, { 1: 60, 2: 0 }])).toEqual([2]);
  expect(seen([1, { 1: 61, 2: 0 }])).toEqual([1]);
  expect(seen([1, { 1: 0, 2: 0 }])).toEqual([1]);
  expect(seen([1, { 1: 61 }])).toEqual([]);
});

test("a limit that changes counts from then on, and who has none is not looked at", () => {
  expect(seen([1, { 1: 2, 2: 1 }], [3, { 1: 0, 2: 0, 3: 0 }])).toEqual([]);
  expect([limits.isLimited(`7.${uuid(2)}`), limits.isLimited(`7.${uuid(3)}`), limits.isLimited("alice")]).toEqual([
    ...[true, false, false],
  ]);
  limit(1);
  expect(seen([1, { 1: 2, 2: 1 }])).toEqual([2]);
  limit(0);
  expect(seen([1, { 1: 2, 2: 1 }])).toEqual([]);
});

test("it is told whether others are refused than before", () => {
  limit(1);
  const connected = new Map([[`7.${uuid(1)}`, { [ip(1)]: 999n, [ip(2)]: 1_000n }]]);
  expect([limits.seen(connected), limits.seen(connected), limits.seen(new Map())]).toEqual([true, false, true]);
});
