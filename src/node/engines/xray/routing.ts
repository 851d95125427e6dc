import { create } from "@bufbuild/protobuf";
import {
  BalancerInfoResponseSchema,
  RouteResultSchema,
  RoutingRuleSchema,
  type TestRouteRequest,
} from "../../../../gen/service/node_pb.ts";
import { Network, RoutingService } from "../../../../gen/xray/app/router/command/command_pb.ts";
import { addressBytes } from "../../../platform/identity/address-bytes.ts";
import { BalancerUnknown, type EngineRouting, OutboundUnknown, RoutingRefused } from "../routing.ts";
import { type XrayApi, XrayRefusal } from "./api.ts";
import type { XrayConfig } from "./config.ts";
import type { Plan } from "./plan.ts";
import type { XrayProgram } from "./process.ts";
import { readRuleMessage, testRule } from "./routing-rule.ts";
import { hasBalancer, type RoutingState, readRule, withOverride, withoutRule, withRule } from "./routing-state.ts";

/** What {@link createXrayRouting} is about. */
export interface RoutingOptions {
  /** What runs, and how to speak to it. Throws {@link EngineNotRunning}. */
  readonly running: () => { readonly api: XrayApi; readonly plan: Plan };
  /** Runs what changes the engine's routing after what came before. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  /** What runs was changed to this config, which is also that of every start from now on. */
  readonly settled: (config: XrayConfig) => Promise<void>;
}

const { addRule, getBalancerInfo, listRule, overrideBalancerTarget, removeRule, testRoute } = RoutingService.method;

/** The routing of a running Xray. */
export function createXrayRouting({ running, inTurn, settled }: RoutingOptions): EngineRouting {
  return {
    async rules() {
      const { rules } = await refusable(running().api.call(listRule, {}));
      return rules.map(({ tag, ruleTag }) => create(RoutingRuleSchema, { outboundTag: tag, ruleTag }));
    },
    async balancer(tag) {
      const { api, plan } = running();
      if (!hasBalancer(plan.config.routing, tag)) throw new BalancerUnknown(tag);
      const { balancer } = await refusable(api.call(getBalancerInfo, { tag }));
      return create(BalancerInfoResponseSchema, {
        overrideTarget: balancer?.override?.target ?? "",
        // A strategy that finds none usable says so by an empty tag.
        principleTarget: balancer?.principleTarget?.tag.filter((target) => target !== "") ?? [],
      });
    },
    async route(connection) {
      const { api, plan } = running();
      const route = await refusable(api.call(testRoute, requestOf(connection))).catch((error) => {
        if (!(error instanceof RoutingRefused && noRule.test(error.message))) throw error;
        // Where no rule decides, the first outbound takes the connection.
        const outboundTag = plan.config.parts.outbounds[0]?.tag ?? "";
        const { inboundTag, targetDomain } = connection;
        return { inboundTag, targetDomain, outboundTag, outboundGroupTags: [], network: networkOf(connection.network) };
      });
      const { inboundTag, outboundTag, outboundGroupTags, targetDomain } = route;
      const network = networkNames[route.network] ?? "unknown";
      return create(RouteResultSchema, { inboundTag, outboundTag, outboundGroupTags, targetDomain, network });
    },
    async addRule(text, reset) {
      const rule = readRule(text);
      const { program } = running().plan;
      withRule(running().plan.config.routing, rule, reset); // the test's words would not be as clear
      await testRule(program, rule);
      await inTurn(async () => {
        const { api, plan } = running();
        const before = plan.config.routing;
        const after = withRule(before, rule, reset);
        const changed = plan.config.withRouting(after);
        const config = await readRuleMessage(program, reset ? after : { rules: [rule] });
        try {
          await refusable(api.call(addRule, { config, shouldAppend: !reset }, changeTimeoutMs));
        } catch (error) {
          if (reset) await putBack(api, program, before);
          throw error;
        }
        await settled(changed);
      });
    },
    removeRule: (ruleTag) =>
      inTurn(async () => {
        const { api, plan } = running();
        const changed = plan.config.withRouting(withoutRule(plan.config.routing, ruleTag));
        await refusable(api.call(removeRule, { ruleTag }));
        await settled(changed);
      }),
    overrideBalancer: (tag, target) =>
      inTurn(async () => {
        const { api, plan } = running();
        const { routing, outboundTags } = plan.config;
        if (!hasBalancer(routing, tag)) throw new BalancerUnknown(tag);
        // Xray would take it, and refuse every connection.
        if (target !== "" && !outboundTags.has(target)) throw new OutboundUnknown(target);
        await refusable(api.call(overrideBalancerTarget, { balancerTag: tag, target }));
        await settled(plan.config.withRouting(withOverride(routing, tag, target)));
      }),
  };
}

/** Tells an Xray that has just started what its config has no words for. */
export async function restoreOverrides(api: XrayApi, { overrides }: RoutingState): Promise<void> {
  for (const [balancerTag, target] of overrides) await api.call(overrideBalancerTarget, { balancerTag, target });
}

/** Puts a state in force again after a reset that failed half way: it has removed what was there. */
async function putBack(api: XrayApi, program: XrayProgram, state: RoutingState): Promise<void> {
  await api.call(addRule, { config: await readRuleMessage(program, state) }, changeTimeoutMs);
  await restoreOverrides(api, state);
}

/** Rules from large geo files take a while. */
const changeTimeoutMs = 30_000;

// Xray's words when no rule decides.
const noRule = /not enough information for making a decision/;

const networkNames: Partial<Record<Network, string>> = { [Network.TCP]: "tcp", [Network.UDP]: "udp" };

function networkOf(name: string): Network {
  switch (name.toLowerCase()) {
    case "tcp":
      return Network.TCP;
    case "udp":
      return Network.UDP;
    default:
      return Network.UNSPECIFIED;
  }
}

function requestOf(connection: TestRouteRequest) {
  const { inboundTag, network, targetIp, targetDomain, targetPort, protocol, user, attributes } = connection;
  return {
    routingContext: {
      inboundTag,
      network: networkOf(network),
      targetIps: targetIp === "" ? [] : [addressBytes(targetIp)],
      targetDomain,
      targetPort,
      protocol,
      user,
      attributes,
    },
    fieldSelectors: connection.fieldSelectors,
    publishResult: connection.publishResult,
  };
}

async function refusable<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw error instanceof XrayRefusal ? new RoutingRefused(error.message) : error;
  }
}
