import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { type CutTarget, filtersOf } from "./ss-filter.ts";

const one = (port: number) => ({ from: port, to: port });
const target = (peer: string, ports = [one(443)], localAddress?: string): CutTarget => ({ peer, ports, localAddress });

describe("a filter selects", () => {
  test.each<[string, CutTarget[], string]>([
    ["one peer of a port", [target("192.0.2.1")], "( ( sport = :443 ) and ( dst = 192.0.2.1 ) )"],
    ["an IPv6 peer", [target("2001:db8::1")], "( ( sport = :443 ) and ( dst = [2001:db8::1] ) )"],
    [
      "several ports and a range",
      [target("192.0.2.1", [one(80), { from: 1000, to: 2000 }])],
      "( ( sport = :80 or ( sport >= :1000 and sport <= :2000 ) ) and ( dst = 192.0.2.1 ) )",
    ],
    [
      "what is connected to one address of this machine",
      [target("192.0.2.1", [one(443)], "198.51.100.1"), target("2001:db8::1", [one(443)], "2001:db8::2")],
      "( src = 198.51.100.1 and ( sport = :443 ) and ( dst = 192.0.2.1 ) ) or " +
        "( src = [2001:db8::2] and ( sport = :443 ) and ( dst = [2001:db8::1] ) )",
    ],
    [
      "peers of the same ports together, each once",
      [target("192.0.2.1"), target("192.0.2.2"), target("192.0.2.1")],
      "( ( sport = :443 ) and ( dst = 192.0.2.1 or dst = 192.0.2.2 ) )",
    ],
  ])("%s", (_, targets, filter) => expect(filtersOf(targets)).toEqual([filter]));

  test("nothing when there are no targets", () => expect(filtersOf([])).toEqual([]));
});

test("many peers are spread over filters that ss and the kernel take", () => {
  const peer = (index: number) => (index % 2 ? `2001:db8::${index.toString(16)}` : `10.1.${index >> 8}.${index & 255}`);
  const ports = Array.from({ length: 50 }, (_, index) => one(20_000 + index));
  const targets = Array.from({ length: 1_201 }, (_, index) => target(peer(index), index < 700 ? ports : [one(443)]));
  const filters = filtersOf(targets);
  expect(filters).toHaveLength(3);
  const named = filters.flatMap((filter) => Array.from(filter.matchAll(/dst = \[?([0-9a-f.:]+)/g), ([, name]) => name));
  expect(named.sort()).toEqual(targets.map((each) => each.peer).sort());
  for (const filter of filters) {
    expect(execFileSync("ss", ["-Htn", "state", "established", filter], { encoding: "utf8", stdio: "pipe" })).toBe("");
  }
});
