import { describe, expect, test } from "vitest";
import { RuleRefused, RuleTagTaken } from "../routing.ts";
import { readXrayConfig } from "./config.ts";
import { type RoutingState, readRule, withOverride, withoutRule, withRule } from "./routing-state.ts";

const api = { type: "field", inboundTag: ["API_INBOUND"], outboundTag: "API" };
const read = (config: object) =>
  readXrayConfig(JSON.stringify(config), { excludeInbounds: [], apiSocket: "/run/api.sock" });
const outbounds = [
  { tag: "direct", protocol: "freedom" },
  { tag: "block", protocol: "blackhole" },
];
const one = { ruleTag: "one", domain: ["a"], outboundTag: "direct" };
const two = { ruleTag: "two", domain: ["b"], outboundTag: "direct" };
const balancer = { tag: "b", selector: ["direct"] };
const config = read({ outbounds, routing: { domainStrategy: "AsIs", Rules: [one], Balancers: [balancer] } });
const documentOf = (state: RoutingState) => JSON.parse([...config.withRouting(state).render(() => [])].join(""));
const tagsOf = ({ rules }: RoutingState) => rules.map((rule) => rule.ruleTag ?? rule.outboundTag);
const guard = "PG_NODE_MALFORMED_DOMAIN_GUARD";

describe("a rule", () => {
  test("is read without need of geoip.dat for private networks", () => {
    expect(readRule('{"IP":["geoip:private"]}').ip).toContain("10.0.0.0/8");
    expect(readRule(JSON.stringify(one))).toEqual(one);
  });

  test.each([
    ["", /^rule is not valid JSON: /],
    ["null", /^rule must be an object, not null$/],
    ['"x"', /^rule must be an object, not a string$/],
    ['{"ruleTag":1}', /^rule\.ruleTag must be a string, not a number$/],
  ])("%j is refused", (text, sentence) => {
    expect(() => readRule(text)).toThrow(RuleRefused);
    expect(() => readRule(text)).toThrow(sentence);
  });

  test("without a bottom is refused", () => {
    const text = `{"x":${"[".repeat(50_000)}${"]".repeat(50_000)}}`;
    expect(() => readRule(text)).toThrow(new RuleRefused("rule is nested too deeply"));
  });

  test("is added behind the others", () => {
    const state = withRule(config.routing, two, false);
    expect(tagsOf(state)).toEqual(["API", guard, "one", "two"]);
    expect(state.balancers).toEqual([balancer]);
    expect(tagsOf(config.routing)).toEqual(["API", guard, "one"]);
  });

  test("takes the place of the others, but for the node's own, and of all balancers", () => {
    const overridden = withOverride(config.routing, "b", "block");
    const state = withRule(overridden, one, true);
    expect(tagsOf(state)).toEqual(["API", guard, "one"]);
    expect(state).toMatchObject({ balancers: [], overrides: new Map() });
  });

  test("is refused when its tag is taken, by one that stays", () => {
    expect(() => withRule(config.routing, one, false)).toThrow(RuleTagTaken);
    expect(() => withRule(config.routing, { ...one, ruleTag: guard }, true)).toThrow(RuleTagTaken);
    const nameless = { domain: ["a"], outboundTag: "direct" };
    expect(withRule(withRule(config.routing, nameless, false), nameless, false).rules).toHaveLength(5);
  });

  test("may lead to a balancer that is there, and not to the API", () => {
    const balanced = { domain: ["c"], balancerTag: "b" };
    expect(withRule(config.routing, balanced, false).rules.at(-1)).toBe(balanced);
    expect(() => withRule(config.routing, balanced, true)).toThrow(/balancer "b" not found/);
    expect(() => withRule(config.routing, { ...balanced, balancerTag: "c" }, false)).toThrow(/balancer "c" not found/);
    expect(() => withRule(config.routing, { domain: ["c"], outboundtag: "API" }, false)).toThrow(/engine's own API/);
    // Xray goes by the outbound where there are both.
    expect(withRule(config.routing, { ...one, ruleTag: "x", balancerTag: "c" }, false).rules).toHaveLength(4);
  });

  test("is removed by its tag, unless it is the node's own", () => {
    expect(tagsOf(withoutRule(config.routing, "one"))).toEqual(["API", guard]);
    expect(tagsOf(withoutRule(config.routing, "nothing"))).toEqual(["API", guard, "one"]);
    expect(() => withoutRule(config.routing, guard)).toThrow(RuleRefused);
  });
});

describe("a config with another routing", () => {
  test("is run with it, and otherwise as it was written", () => {
    const document = documentOf(withRule(withoutRule(config.routing, "one"), two, false));
    expect(document.routing).toMatchObject({ domainStrategy: "AsIs", balancers: [balancer] });
    expect(document.routing.rules.map((rule: { ruleTag?: string }) => rule.ruleTag)).toEqual([undefined, guard, "two"]);
    expect(document.routing.rules[0]).toEqual(api);
    expect(Object.keys(document.routing).sort()).toEqual(["balancers", "domainStrategy", "rules"]);
    expect(document.outbounds).toEqual(outbounds);
  });

  test("differs from the one that was written, also by what balancers must choose", () => {
    const overridden = withOverride(config.routing, "b", "block");
    for (const state of [withRule(config.routing, two, false), withoutRule(config.routing, "one"), overridden]) {
      const other = config.withRouting(state);
      expect(other.fingerprint).not.toBe(config.fingerprint);
      expect(other.parts.routing).not.toBe(config.parts.routing);
      expect(other.parts.fixed).toBe(config.parts.fixed);
      expect(other.withRouting(config.routing).fingerprint).toBe(config.fingerprint);
    }
    expect(config.withRouting(withOverride(overridden, "b", "")).fingerprint).toBe(config.fingerprint);
  });
});
