import { ConfigRefused } from "../engine-error.ts";
import { RuleRefused, RuleTagTaken } from "../routing.ts";
import { malformedDomainGuard, withoutGeoFiles } from "./config-sections.ts";
import {
  asObject,
  canonicalText,
  ensureObject,
  ensureObjects,
  getField,
  type Json,
  type JsonObject,
  setField,
  stringField,
} from "./json-object.ts";

/** What of a config's routing can change while Xray runs. */
export interface RoutingState {
  /** Those of the node are among them: the first is the one that leads to the API. */
  readonly rules: readonly JsonObject[];
  readonly balancers: readonly JsonObject[];
  /** What balancers must choose: tags of outbounds, by tags of balancers. */
  readonly overrides: ReadonlyMap<string, string>;
}

/** The state of the routing of a config that is ready to be run; after `wanted`, if any, was put in its place. */
export function takeRoutingState(root: JsonObject, wanted: RoutingState | undefined): RoutingState {
  const routing = ensureObject(root, "routing", "routing");
  if (wanted !== undefined) {
    setField(routing, "rules", [...wanted.rules]);
    setField(routing, "balancers", [...wanted.balancers]);
    return wanted;
  }
  const hasBalancers = getField(routing, "balancers") !== undefined;
  return {
    rules: ensureObjects(routing, "rules", "routing.rules"),
    balancers: hasBalancers ? ensureObjects(routing, "balancers", "routing.balancers") : [],
    overrides: new Map(),
  };
}

/** Reads a rule as it stands in a config. Throws {@link RuleRefused}; whether Xray takes it is not known yet. */
export function readRule(text: string): JsonObject {
  try {
    const json: Json = JSON.parse(text);
    const rule = asObject(json, "rule");
    stringField(rule, "ruleTag", "rule.ruleTag");
    withoutGeoFiles(rule);
    canonicalText(rule); // as its config will be
    return rule;
  } catch (error) {
    if (error instanceof ConfigRefused) throw new RuleRefused(error.message);
    if (error instanceof RangeError) throw new RuleRefused("rule is nested too deeply");
    throw new RuleRefused(`rule is not valid JSON: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * The state with one rule more; with `reset` with this one and those of the node alone. Throws {@link RuleTagTaken},
 * or {@link RuleRefused} for a rule that would let users at Xray's API or leads to no balancer.
 */
export function withRule(state: RoutingState, rule: JsonObject, reset: boolean): RoutingState {
  const kept = reset ? { rules: ownRules(state), balancers: [], overrides: new Map<string, string>() } : state;
  const ruleTag = tagOf(rule);
  if (ruleTag !== "" && kept.rules.some((other) => tagOf(other) === ruleTag)) throw new RuleTagTaken(ruleTag);
  const outboundTag = getField(rule, "outboundTag");
  const [api] = state.rules;
  if (api !== undefined && getField(api, "outboundTag") === outboundTag) {
    throw new RuleRefused(`rule.outboundTag "${outboundTag}" is the engine's own API`);
  }
  const balancerTag = outboundTag ? undefined : getField(rule, "balancerTag");
  if (typeof balancerTag === "string" && balancerTag !== "" && !hasBalancer(kept, balancerTag)) {
    throw new RuleRefused(`rule.balancerTag: balancer "${balancerTag}" not found`);
  }
  return { ...kept, rules: [...kept.rules, rule] };
}

/** The state without the rules of a name. Throws {@link RuleRefused} for the node's own. */
export function withoutRule(state: RoutingState, ruleTag: string): RoutingState {
  if (ruleTag === malformedDomainGuard) throw new RuleRefused(`the rule "${ruleTag}" is the node's own`);
  return { ...state, rules: state.rules.filter((rule) => tagOf(rule) !== ruleTag) };
}

/** The state with a balancer that must choose an outbound, or may choose by itself: an empty target. */
export function withOverride(state: RoutingState, balancer: string, target: string): RoutingState {
  const overrides = new Map(state.overrides);
  if (target === "") overrides.delete(balancer);
  else overrides.set(balancer, target);
  return { ...state, overrides };
}

/** Whether there is a balancer of that tag. */
export function hasBalancer({ balancers }: Pick<RoutingState, "balancers">, tag: string): boolean {
  return balancers.some((balancer) => getField(balancer, "tag") === tag);
}

function ownRules({ rules }: RoutingState): JsonObject[] {
  return rules.filter((rule, index) => index === 0 || tagOf(rule) === malformedDomainGuard);
}

function tagOf(rule: JsonObject): string {
  const tag = getField(rule, "ruleTag");
  return typeof tag === "string" ? tag : "";
}
