import { describe, expect, test } from "vitest";
import { changeRouting, notesIn, otherMarks, othersMasquerade, type Routed, routingMark } from "./routing-rules.ts";
import { readRuleset } from "./ruleset.ts";

const mark = routingMark("/var/lib/garrison/wireguard");
const other = routingMark("/home/ann/garrison/wireguard");
const routed: Routed = { from: "wg0", egress: { ipv4: "eth0", ipv6: "eth0" }, masqueradeAll: false, notes: [] };
const rulesetOf = (...nftables: object[]) => readRuleset(JSON.stringify({ nftables }));
const forward = (family: string, table: string, name: string, policy: string) => ({
  chain: { family, table, name, handle: 1, type: "filter", hook: "forward", prio: 0, policy },
});
const ruleIn = (family: string, table: string, chain: string, handle: number, expr: object[], comment?: string) => ({
  rule: { family, table, chain, handle, expr, comment },
});
/** Each command in short: its verb, chain and comment, or what it deletes. */
const inShort = (commands: readonly object[]) =>
  commands.flatMap((command) =>
    Object.entries(command).map(([verb, { table, chain, rule }]) => {
      if (table !== undefined) return `${verb} table ${table.name}`;
      if (chain !== undefined) return `${verb} chain ${chain.name}`;
      const what = verb === "delete" ? rule.handle : rule.comment.replace(/^garrison \w+: /, "");
      return `${verb} ${rule.chain}${verb === "insert" ? ` before ${rule.handle}` : ""}: ${what}`;
    }),
  );
const changes = (nftables: object[], wanted: Routed | undefined = routed) => {
  const { own, foreign } = changeRouting(rulesetOf(...nftables), mark, wanted);
  return { own: inShort(own), foreign: foreign.map(({ commands }) => inShort(commands)) };
};

test("a mark is the same for each run of a node, and fits where it is to stand whatever the owner is called", () => {
  expect(routingMark("/var/lib/garrison/wireguard")).toEqual(mark);
  expect(other).not.toEqual(mark);
  expect(routingMark('"; flush ruleset; #\n')).toEqual({
    table: expect.stringMatching(/^garrison_[0-9a-f]{12}$/),
    comment: expect.stringMatching(/^garrison [0-9a-f]{12}: $/),
  });
});

test("without a firewall there is our own table alone, whose rules match by interface and family", () => {
  const egress = { ipv4: "eth0", ipv6: "eth1" };
  const { own, foreign } = changeRouting(rulesetOf(), mark, { ...routed, egress, notes: ["found x=1"] });
  expect(foreign).toEqual([]);
  expect(inShort(own)).toEqual([
    `add table ${mark.table}`,
    "add chain forward",
    "add chain postrouting",
    "add chain notes",
    "add postrouting: ipv4 from wg0 by eth0",
    "add postrouting: ipv6 from wg0 by eth1",
    "add notes: found x=1",
  ]);
  const is = (key: string, right: string) => ({ match: { op: "==", left: { meta: { key } }, right } });
  expect(own[4]).toMatchObject({
    add: { rule: { expr: [is("nfproto", "ipv4"), is("iifname", "wg0"), is("oifname", "eth0"), { masquerade: null }] } },
  });
  const [, , , , all] = changeRouting(rulesetOf(), mark, { ...routed, masqueradeAll: true }).own;
  expect(all).toMatchObject({
    add: { rule: { expr: [is("nfproto", "ipv4"), is("oifname", "eth0"), { masquerade: null }] } },
  });
});

describe("in the chain of a firewall", () => {
  const accepted = ["wg0 to eth0", "eth0 to wg0"];
  const drop = [{ drop: null }];
  const lan = { match: { op: "==", left: { meta: { key: "iifname" } }, right: "lan0" } };

  test.each<[string, object[], string[]]>([
    [
      "that drops by its policy it accepts at the end",
      [forward("inet", "fw", "f", "drop")],
      accepted.map((a) => `add f: ${a}`),
    ],
    [
      "that ends with a refusal it accepts before that",
      [
        forward("inet", "fw", "f", "accept"),
        ruleIn("inet", "fw", "f", 4, [lan, ...drop]),
        ruleIn("inet", "fw", "f", 5, [{ counter: null }, { reject: null }]),
      ],
      accepted.map((a) => `insert f before 5: ${a}`),
    ],
    [
      "that leaves for another one it accepts before that",
      [
        forward("inet", "fw", "f", "drop"),
        ruleIn("inet", "fw", "f", 4, [{ goto: { target: "lans" } }]),
        ruleIn("inet", "fw", "lans", 5, [lan, { accept: null }]),
      ],
      accepted.map((a) => `insert f before 4: ${a}`),
    ],
  ])("%s", (_, nftables, commands) => {
    expect(changes(nftables).foreign).toEqual([commands]);
  });

  test.each<[string, object[]]>([
    [
      "that accepts by its policy",
      [forward("inet", "fw", "f", "accept"), ruleIn("inet", "fw", "f", 4, [lan, ...drop])],
    ],
    ["that accepts at the end", [forward("inet", "fw", "f", "drop"), ruleIn("inet", "fw", "f", 4, [{ accept: null }])]],
    ["that sees no forwarded packets", [{ chain: { ...forward("inet", "fw", "f", "drop").chain, hook: "input" } }]],
    ["that sees other packets than of IP", [forward("bridge", "fw", "f", "drop")]],
    ["that sees another family", [forward("ip6", "fw", "f", "drop")]],
  ])("%s nothing is changed", (_, nftables) => {
    expect(changes(nftables, { ...routed, egress: { ipv4: "eth0" } }).foreign).toEqual([]);
  });

  test("of iptables no rule has a condition on the connection, and a rule of our own keeps out what is no answer", () => {
    const ruleset = rulesetOf(forward("ip", "filter", "FORWARD", "drop"), forward("ip", "mine", "forward", "drop"));
    const { own, foreign } = changeRouting(ruleset, mark, routed);
    expect(foreign.map(({ commands }) => JSON.stringify(commands).includes('"state"'))).toEqual([false, true]);
    expect(inShort(own)).toContain("add forward: only answers from eth0 to wg0");
    expect(changes([forward("ip", "mine", "forward", "drop")]).own.join()).not.toContain("only answers");
  });

  const ours = (handle: number, text: string) =>
    ruleIn("inet", "fw", "f", handle, [{ accept: null }], `${mark.comment}${text}`);

  test("nothing is changed where our rules stand already", () => {
    const closed = forward("inet", "fw", "f", "drop");
    expect(changes([closed, ours(7, "wg0 to eth0"), ours(8, "eth0 to wg0")]).foreign).toEqual([]);
    const refusal = ruleIn("inet", "fw", "f", 9, drop);
    expect(changes([closed, ours(7, "wg0 to eth0"), ours(8, "eth0 to wg0"), refusal]).foreign).toEqual([]);
  });

  test.each<[string, object[], string]>([
    ["of another interface", [ours(7, "wg1 to eth0"), ours(8, "eth0 to wg1")], "add f: "],
    ["that are too many", [ours(7, "wg0 to eth0"), ours(8, "wg0 to eth0")], "add f: "],
    [
      "that a refusal stands before",
      [ruleIn("inet", "fw", "f", 6, drop), ours(7, "wg0 to eth0"), ours(8, "eth0 to wg0")],
      "insert f before 6: ",
    ],
  ])("our rules %s are replaced", (_, rules, verb) => {
    expect(changes([forward("inet", "fw", "f", "drop"), ...rules]).foreign).toEqual([
      ["delete f: 7", "delete f: 8", ...accepted.map((a) => `${verb}${a}`)],
    ]);
  });

  test("only our own rules are removed, also from one that does not drop any more", () => {
    const theirs = ruleIn("inet", "fw", "f", 5, [{ accept: null }], `${other.comment}wg0 to eth0`);
    for (const policy of ["drop", "accept"]) {
      const { foreign } = changeRouting(
        rulesetOf(forward("inet", "fw", "f", policy), theirs, ours(7, "wg0 to eth0"), ours(8, "eth0 to wg0")),
        mark,
        undefined,
      );
      expect(foreign.map(({ commands }) => inShort(commands))).toEqual([["delete f: 7", "delete f: 8"]]);
    }
  });
});

test("our own table is replaced in one step where it differs, left alone where not, and removed", () => {
  const table = { table: { family: "inet", name: mark.table, handle: 3 } };
  const stand = ["ipv4 from wg0 by eth0", "ipv6 from wg0 by eth0"].map((text, index) =>
    ruleIn("inet", mark.table, "postrouting", index, [], `${mark.comment}${text}`),
  );
  expect(changes([table, ...stand])).toEqual({ own: [], foreign: [] });
  expect(changes([table, ...stand.slice(1)]).own.slice(0, 2)).toEqual([
    `delete table ${mark.table}`,
    `add table ${mark.table}`,
  ]);
  const { own } = changeRouting(rulesetOf(table, ...stand), mark, undefined);
  expect(inShort(own)).toEqual([`delete table ${mark.table}`]);
  expect(changeRouting(rulesetOf(), mark, undefined)).toEqual({ own: [], foreign: [] });
});

test("notes are those of one mark, and other marks are found", () => {
  const ruleset = rulesetOf(
    { table: { family: "inet", name: mark.table } },
    { table: { family: "inet", name: other.table } },
    { table: { family: "ip", name: "garrison_0123456789ab" } },
    { table: { family: "inet", name: "garrison_fleet" } },
    ruleIn("inet", mark.table, "notes", 4, [{ return: null }], `${mark.comment}found a=1`),
    ruleIn("inet", other.table, "notes", 4, [{ return: null }], `${other.comment}found b=1`),
  );
  expect(notesIn(ruleset, mark)).toEqual(["found a=1"]);
  expect(notesIn(ruleset, other)).toEqual(["found b=1"]);
  expect(otherMarks(ruleset, mark)).toEqual([other]);
});

test("others masquerade where they have rules for what leaves", () => {
  const nat = { type: "nat", hook: "postrouting", prio: 100, policy: "accept", name: "POSTROUTING" };
  const chain = { chain: { family: "ip", table: "nat", ...nat } };
  const rule = ruleIn("ip", "nat", "POSTROUTING", 2, [{ xt: { type: "target", name: "MASQUERADE" } }]);
  expect(othersMasquerade(rulesetOf(chain), "ipv4")).toBe(false);
  expect(othersMasquerade(rulesetOf(chain, rule), "ipv4")).toBe(true);
  expect(othersMasquerade(rulesetOf(chain, rule), "ipv6")).toBe(false);
  const ours = { chain: { family: "inet", table: other.table, ...nat } };
  expect(othersMasquerade(rulesetOf(ours, ruleIn("inet", other.table, nat.name, 2, [])), "ipv4")).toBe(false);
});
