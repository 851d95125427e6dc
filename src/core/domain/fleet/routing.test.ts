import { expect, test } from "vitest";
import { checkExtra, checkRouting, rulesWithInbound, rulesWithOutbound } from "./routing.ts";

const tags = { outbounds: ["direct", "warp"], inbounds: ["vless-443"] };

test.each([
  [{}],
  [{ domainStrategy: "AsIs", rules: [{ domain: ["geosite:a"], outboundTag: "warp", ruleTag: "a" }] }],
  [{ rules: [{ inboundTag: ["vless-443"], balancerTag: "b" }], balancers: [{ tag: "b", selector: ["warp"] }] }],
  [{ rules: [{ inboundTag: "vless-443", outboundTag: "direct" }] }],
])("%j is a routing", (routing) => expect(() => checkRouting(routing, tags)).not.toThrow());

test.each([
  [{ rules: {} }, "routing: rules: is no list"],
  [{ rules: ["a"] }, "routing: rules[0]: is no JSON object"],
  [{ rules: [{ ip: ["geoip:a"] }] }, "routing: rules[0]: has neither outboundTag nor balancerTag"],
  [{ rules: [{ outboundTag: "out" }] }, "routing: rules[0].outboundTag: is none of the outbounds direct, warp"],
  [{ rules: [{ balancerTag: "b" }] }, "routing: rules[0].balancerTag: there are no balancers"],
  [{ Rules: [{ outboundTag: "out" }] }, "routing: Rules: is spelled rules"],
  [{ rules: [{ outboundTag: "warp", InboundTag: ["vmess"] }] }, "routing: rules[0].InboundTag: is spelled inboundTag"],
  [{ balancers: [{ selector: [] }] }, "routing: balancers[0].tag: is missing"],
  [
    { rules: [{ outboundTag: "direct", inboundTag: ["vmess"] }] },
    "routing: rules[0].inboundTag: is none of the inbounds vless-443",
  ],
  [
    {
      rules: [
        { outboundTag: "direct", ruleTag: "a" },
        { outboundTag: "warp", ruleTag: "a" },
      ],
    },
    "routing: rules[1].ruleTag: is the tag of a rule before it",
  ],
])("%j is none: %s", (routing, message) => {
  expect(() => checkRouting(routing, tags)).toThrow(expect.objectContaining({ code: "ROUTING_INVALID", message }));
});

test("further sections are objects that have no place of their own", () => {
  expect(() => checkExtra({ dns: {}, policy: {}, observatory: {} })).not.toThrow();
  expect(() => checkExtra({ fakedns: [{ ipPool: "198.18.0.0/15" }, { ipPool: "fc00::/18" }] })).not.toThrow();
  for (const name of ["inbounds", "outbounds", "routing", "api", "stats", "log", "API", "Outbounds"]) {
    expect(() => checkExtra({ [name]: {} })).toThrow(`extra: ${name}: has a place of its own`);
  }
  expect(() => checkExtra({ dns: [] })).toThrow("extra: dns: is no JSON object");
});

test("the rules that name a tag are found", () => {
  const routing = { rules: [{ outboundTag: "warp" }, { inboundTag: "a,b", outboundTag: "direct" }] };
  expect(rulesWithOutbound(routing, "direct")).toEqual(["rules[1]"]);
  expect(rulesWithInbound(routing, "b")).toEqual(["rules[1]"]);
  expect(rulesWithInbound(routing, "c")).toEqual([]);
});
