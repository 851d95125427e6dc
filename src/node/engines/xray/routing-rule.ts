import type { TypedMessage } from "../../../../gen/xray/common/serial/typed_message_pb.ts";
import { ConfigRefused, EngineUnreachable } from "../engine-error.ts";
import { RuleRefused } from "../routing.ts";
import { getField, type JsonObject } from "./json-object.ts";
import type { XrayProgram } from "./process.ts";
import type { RoutingState } from "./routing-state.ts";
import { testConfig } from "./running.ts";
import { readTypedConfig } from "./typed-config.ts";

/**
 * Has another Xray build a rule: the one that runs would end itself over some that cannot be built. Whether its
 * balancer exists is not looked at. Throws {@link RuleRefused} with Xray's own words.
 */
export async function testRule(program: XrayProgram, rule: JsonObject): Promise<void> {
  const tag = getField(rule, "balancerTag");
  const balancers = typeof tag === "string" && tag !== "" ? [{ tag, selector: ["none"] }] : [];
  const document = { outbounds: [{ protocol: "blackhole" }], routing: { rules: [rule], balancers } };
  try {
    await testConfig({ program, config: [JSON.stringify(document)], keepLines: 50, timeoutMs });
  } catch (error) {
    if (!(error instanceof ConfigRefused)) throw error;
    throw new RuleRefused(`rule: ${error.message.replace(preamble, "")}`);
  }
}

/** Rules and balancers as Xray's API takes them. */
export async function readRuleMessage(
  program: XrayProgram,
  { rules, balancers = [] }: Pick<RoutingState, "rules"> & Partial<RoutingState>,
): Promise<TypedMessage> {
  const { routing } = await readTypedConfig(program, [JSON.stringify({ routing: { rules, balancers } })], timeoutMs);
  if (routing === undefined) throw new EngineUnreachable("xray left the routing out when it read it");
  return routing;
}

/** Rules from large geo files take a while. */
const timeoutMs = 30_000;

// What Xray says before it comes to the rule.
const preamble =
  /^failed to start xray: (?:Failed to start: main: )?(?:failed to load config files: \[stdin:\] > infra\/conf: failed to build routing configuration > |failed to create server > )?/;
