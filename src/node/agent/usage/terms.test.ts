import { create } from "@bufbuild/protobuf";
import { beforeEach, expect, test } from "vitest";
import { SubscriptionLeaseSchema, UsageEntrySchema } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { SubscriptionTermsSchema } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { Links } from "../config/links.ts";
import { createTerms, type Terms } from "./terms.ts";

const links: Links = {
  owners: new Map([
    ["a", { userId: 1, subscriptionId: 10 }],
    ["b", { userId: 2, subscriptionId: 20 }],
    ["c", { userId: 3, subscriptionId: undefined }],
  ]),
  former: new Map(),
  protocols: new Map(),
  kinds: new Map(),
};

let now: number;
let isCoreAway: boolean;
let terms: Terms;
beforeEach(() => {
  now = 1_000;
  isCoreAway = false;
  terms = createTerms({ now: () => now, isCoreAway: () => isCoreAway, carriedBefore: new Map() });
});

function lend(bytes: number, failOpen = false) {
  terms.replace({ 10: create(SubscriptionTermsSchema, { leaseBytes: BigInt(bytes), failOpen }) }, links);
}

function refused(): string[] {
  terms.review();
  return ["a", "b", "c"].filter(terms.isRefused);
}

const carry = (bytes: number) => terms.carried(new Map([[10, BigInt(bytes)]]));

function book(bytes: number, lease?: number) {
  const entry = create(UsageEntrySchema, { subscriptionId: 10n, bytesUp: BigInt(bytes) });
  const leases = lease === undefined ? [] : [{ subscriptionId: 10n, bytes: BigInt(lease) }];
  terms.booked(
    { entries: [entry] },
    leases.map((each) => create(SubscriptionLeaseSchema, each)),
  );
}

test("a subscription is refused from its end on, and the end of the next one is known", () => {
  terms.replace({ 10: create(SubscriptionTermsSchema, { expiresAtMs: 1_500n }) }, links);
  expect([refused(), terms.nextEnd()]).toEqual([[], 1_500]);
  now = 1_500;
  expect(terms.review()).toBe(true);
  expect(terms.review()).toBe(false);
  expect([refused(), terms.nextEnd()]).toEqual([["a"], undefined]);
});

test("a subscription is refused when its lease is used up, until Core has booked it", () => {
  lend(100);
  carry(99);
  expect(refused()).toEqual([]);
  carry(1);
  expect(terms.review()).toBe(true);
  expect(terms.isUrgent).toBe(true);
  expect(refused()).toEqual(["a"]);
  book(60);
  expect(refused()).toEqual([]);
});

test("it is urgent once, and not while there is nothing to tell", () => {
  lend(0);
  terms.review();
  expect(terms.isUrgent).toBe(false);
  lend(100);
  terms.review();
  carry(100);
  terms.review();
  expect(terms.isUrgent).toBe(true);
  terms.review();
  expect(terms.isUrgent).toBe(false);
});

test("an answer's lease counts until the next config", () => {
  lend(100);
  carry(10);
  book(10, 0);
  expect(refused()).toEqual(["a"]);
  lend(100);
  expect(refused()).toEqual([]);
});

test("where it may fail open, a lease is not enforced while Core is away", () => {
  lend(100, true);
  carry(100);
  isCoreAway = true;
  expect(refused()).toEqual([]);
  isCoreAway = false;
  expect(refused()).toEqual(["a"]);
});

test("what an earlier process has counted counts", () => {
  terms = createTerms({ now: () => now, isCoreAway: () => false, carriedBefore: new Map([[10, 100n]]) });
  lend(100);
  expect(refused()).toEqual(["a"]);
});
