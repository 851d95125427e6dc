import { describe, expect, test } from "vitest";
import { fateAt, readRuleset, rulesOf } from "./ruleset.ts";

const place = { family: "inet", table: "fw" };
const rule = (chain: string, ...expr: unknown[]) => ({ rule: { ...place, chain, handle: 1, expr } });
const lan = { match: { op: "==", left: { meta: { key: "iifname" } }, right: "lan0" } };

describe("what becomes of every packet that meets a rule", () => {
  test.each<[string, unknown[], string | undefined]>([
    ["it is let on", [{ counter: { packets: 1, bytes: 2 } }, { accept: null }], "accepted"],
    ["it is dropped", [{ drop: null }], "refused"],
    [
      "it is rejected",
      [{ counter: null }, { log: null }, { reject: { type: "icmpx", expr: "host-unreachable" } }],
      "refused",
    ],
    ["iptables rejects it", [{ counter: null }, { xt: { type: "target", name: "REJECT" } }], "refused"],
    ["the policy decides", [{ return: null }], "left"],
    ["the next rule decides", [{ counter: null }], undefined],
    ["a condition decides", [lan, { drop: null }], undefined],
    ["a limit decides", [{ limit: { rate: 1, per: "second" } }, { accept: null }], undefined],
    ["nobody knows, since it is another target of iptables", [{ xt: { type: "target", name: "TCPMSS" } }], undefined],
    ["nobody knows, since nft does not tell", [{ xt: null }], undefined],
    ["a map decides", [{ vmap: { key: { ct: { key: "state" } }, data: {} } }], undefined],
    ["another chain refuses it", [{ jump: { target: "deny" } }], "refused"],
    ["another chain refuses some of it", [{ jump: { target: "some" } }], undefined],
    ["another chain sends it back", [{ jump: { target: "back" } }], undefined],
    ["another chain does not send it back", [{ goto: { target: "back" } }], "left"],
    ["chains lead round and round", [{ jump: { target: "round" } }], undefined],
    ["there is no such chain", [{ jump: { target: "gone" } }], undefined],
  ])("%s", (_, expr, fate) => {
    const ruleset = readRuleset(
      JSON.stringify({
        nftables: [
          { metainfo: { version: "1.0.6" } },
          rule("forward", ...expr),
          rule("deny", lan, { accept: null }),
          rule("deny", { jump: { target: "deny2" } }),
          rule("deny2", { drop: null }),
          rule("some", lan, { drop: null }),
          rule("back", { return: null }),
          rule("back", { drop: null }),
          rule("round", { jump: { target: "round" } }),
        ],
      }),
    );
    const [first] = rulesOf(ruleset, { ...place, name: "forward" });
    expect(first && fateAt(first, ruleset)).toBe(fate);
  });
});
