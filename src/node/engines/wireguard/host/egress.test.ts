import { expect, test } from "vitest";
import { readDefaultRoute } from "./egress.ts";

const route = (dev: string, more: object = {}) => ({ dst: "default", gateway: "192.0.2.1", dev, flags: [], ...more });

test.each<[string, unknown[], string | undefined]>([
  ["the only one", [route("eth0")], "eth0"],
  ["none", [], undefined],
  ["the one with the least metric", [route("wlan0", { metric: 600 }), route("eth0", { metric: 100 })], "eth0"],
  ["one without a metric before any with one", [route("eth0", { metric: 1 }), route("ppp0")], "ppp0"],
  [
    "the first of several at once",
    [{ dst: "default", flags: [], nexthops: [{ gateway: "192.0.2.1", dev: "eth1", weight: 1, flags: [] }] }],
    "eth1",
  ],
  ["none that refuses", [{ type: "unreachable", dst: "default", dev: "lo", metric: 3_000, flags: [] }], undefined],
  ["none whose cable is out", [route("eth0", { flags: ["dead", "linkdown"] }), route("eth1", { metric: 9 })], "eth1"],
  ["none by the tunnel itself", [route("wg0"), route("eth0", { metric: 9 })], "eth0"],
  ["none whose interface has a name of which a rule would make another", [route('e" accept'), route("e*")], undefined],
])("of the default routes it takes %s", (_, routes, expected) => {
  expect(readDefaultRoute(JSON.stringify(routes), "wg0")).toBe(expected);
});

test("a machine without routes may say nothing at all", () => {
  expect(readDefaultRoute("\n")).toBeUndefined();
});
