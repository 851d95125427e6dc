import { describe, expect, test } from "vitest";
import { readXrayConfig } from "./config.ts";
import type { JsonObject } from "./json-object.ts";
import { diffStructure } from "./structure-diff.ts";

const inbound = (tag: string, port = 1, protocol = "vless") => ({ tag, port, protocol, settings: {} });
const outbound = (tag: string, protocol = "freedom", settings = {}) => ({ tag, protocol, settings });
const rule = (outboundTag: string, ruleTag?: string) => ({ outboundTag, network: "tcp", ...(ruleTag && { ruleTag }) });

const base = {
  inbounds: [inbound("a", 1), inbound("b", 2)],
  outbounds: [outbound("direct"), outbound("warp", "socks")],
  routing: { rules: [rule("warp")] },
};

function diff(before: JsonObject, after: JsonObject, excluded: readonly string[] = []) {
  const [old, now] = [before, after].map((document, index) => {
    const excludeInbounds = index === 1 ? excluded : [];
    return readXrayConfig(JSON.stringify(document), { excludeInbounds, apiSocket: "/x" }).parts;
  });
  return old && now && diffStructure(old, now);
}

/** The steps as words, in their order. */
function steps(after: JsonObject, before: JsonObject = base): string[] | undefined {
  return diff(before, after)?.steps.map((step) => ("tag" in step ? `${step.kind} ${step.tag}` : step.kind));
}

describe("the steps to another config", () => {
  test.each<[string, JsonObject, string[]]>([
    ["the same", base, []],
    ["in another order", { ...base, inbounds: base.inbounds.toReversed() }, []],
    [
      "with other clients",
      { ...base, inbounds: [{ ...inbound("a", 1), settings: { clients: [{}] } }, inbound("b", 2)] },
      [],
    ],
    ["with one inbound more", { ...base, inbounds: [...base.inbounds, inbound("c")] }, ["addInbound c"]],
    ["with one inbound less", { ...base, inbounds: [inbound("b", 2)] }, ["removeInbound a"]],
    [
      "with ports exchanged: both leave before one comes",
      { ...base, inbounds: [inbound("a", 2), inbound("b", 1)] },
      ["removeInbound a", "removeInbound b", "addInbound a", "addInbound b"],
    ],
    [
      "with an inbound under another name",
      { ...base, inbounds: [inbound("c", 1), inbound("b", 2)] },
      ["removeInbound a", "addInbound c"],
    ],
    [
      "with a rule to an outbound that is new: the outbound first",
      { ...base, outbounds: [...base.outbounds, outbound("new")], routing: { rules: [rule("new")] } },
      ["addOutbound new", "setRouting"],
    ],
    [
      "without an outbound and its rule: the rule first",
      { ...base, outbounds: [outbound("direct")], routing: { rules: [] } },
      ["setRouting", "removeOutbound warp"],
    ],
    [
      "with an outbound changed",
      { ...base, outbounds: [outbound("direct"), outbound("warp", "http")] },
      ["removeOutbound warp", "addOutbound warp"],
    ],
    [
      "with the default changed: nothing comes in between",
      { ...base, outbounds: [outbound("direct", "socks"), outbound("warp", "socks"), outbound("new")] },
      ["addOutbound new", "removeOutbound direct", "addOutbound direct"],
    ],
    [
      "with another default: it is the first to come back",
      { ...base, outbounds: base.outbounds.toReversed() },
      ["removeOutbound warp", "removeOutbound direct", "addOutbound warp", "addOutbound direct"],
    ],
    [
      "with a new default in place of the old one",
      { ...base, outbounds: [outbound("new"), outbound("warp", "socks")] },
      ["removeOutbound direct", "addOutbound new"],
    ],
    [
      "with a balancer",
      { ...base, routing: { rules: [], balancers: [{ tag: "all", selector: ["w"] }] } },
      ["setRouting"],
    ],
  ])("%s", (_what, after, expected) => {
    expect(steps(after)).toEqual(expected);
  });

  test("keep the users of all inbounds that do not change", () => {
    const after = { ...base, inbounds: [inbound("a", 9), inbound("b", 2), inbound("c", 3)] };
    expect(diff(base, after)?.keptInbounds).toEqual(new Set(["b"]));
  });

  test("replace an inbound whose users the node sets no longer", () => {
    const result = diff(base, base, ["a"]);
    expect(result?.steps.map(({ kind }) => kind)).toEqual(["removeInbound", "addInbound"]);
    expect(result?.keptInbounds).toEqual(new Set(["b"]));
  });

  test.each<[string, JsonObject, JsonObject?]>([
    ["a log", { ...base, log: { loglevel: "debug" } }],
    ["a policy", { ...base, policy: { levels: { 1: {} } } }],
    ["a dns", { ...base, dns: {} }],
    ["an observatory", { ...base, observatory: { subjectSelector: ["w"] } }],
    ["fakedns", { ...base, FakeDNS: [] }],
    ["something unknown", { ...base, unknown: 1 }],
    ["another way of routing", { ...base, routing: { ...base.routing, domainStrategy: "IPOnDemand" } }],
    ["an inbound without tag", { ...base, inbounds: [...base.inbounds, { protocol: "socks", port: 3 }] }],
    ["an inbound of an unknown protocol", { ...base, inbounds: [...base.inbounds, inbound("c", 3, "tun")] }],
    ["no inbound of an unknown protocol", base, { ...base, inbounds: [...base.inbounds, inbound("c", 3, "tun")] }],
    ["an outbound that lives on", { ...base, outbounds: [...base.outbounds, outbound("wg", "wireguard")] }],
    [
      "an outbound that lives on for a reverse proxy",
      {
        ...base,
        outbounds: [...base.outbounds, outbound("r", "vless", { vnext: [{ users: [{ reverse: { tag: "x" } }] }] })],
      },
    ],
    ["a default without tag", { ...base, outbounds: [{ protocol: "freedom" }, ...base.outbounds] }],
    ["rules of the same name", { ...base, routing: { rules: [rule("warp", "twice"), rule("warp", "twice")] } }],
    ["no rules of the same name", base, { ...base, routing: { rules: [rule("warp", "x"), rule("direct", "x")] } }],
    ["balancers of the same name", { ...base, routing: { balancers: [{ tag: "x" }, { tag: "x" }] } }],
  ])("do not lead to %s", (_what, after, before) => {
    expect(steps(after, before)).toBeUndefined();
  });
});

test("undone from the last to the first, the steps bring the same default back", () => {
  // As Xray does it: the first that is added while there is none is the default.
  const taken = { removeOutbound: "addOutbound", addOutbound: "removeOutbound" } as const;
  const lists = [["direct", "warp"], ["warp", "direct"], ["new", "warp", "direct"], ["warp"], ["new"]];
  const documents = lists.map((tags) => ({ ...base, outbounds: tags.map((tag) => outbound(tag)), routing: {} }));
  for (const [from, before] of documents.entries()) {
    for (const [to, after] of documents.entries()) {
      const present = new Set(lists[from]);
      let first: string | undefined = lists[from]?.[0];
      const take = (kind: keyof typeof taken, tag: string) => {
        if (kind === "addOutbound") {
          present.add(tag);
          first ??= tag;
        } else {
          present.delete(tag);
          if (first === tag) first = undefined;
        }
      };
      const way = (diff(before, after)?.steps ?? []).flatMap((step) =>
        step.kind === "addOutbound" || step.kind === "removeOutbound" ? [{ kind: step.kind, tag: step.tag }] : [],
      );
      for (const { kind, tag } of way) take(kind, tag);
      expect([first, present]).toEqual([lists[to]?.[0], new Set(lists[to])]);
      for (const { kind, tag } of way.toReversed()) take(taken[kind], tag);
      expect([first, present]).toEqual([lists[from]?.[0], new Set(lists[from])]);
    }
  }
});
