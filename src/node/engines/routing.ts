import type { BalancerInfoResponse, RouteResult, RoutingRule, TestRouteRequest } from "../../../gen/service/node_pb.ts";

/**
 * The routing of an engine that has one. Changes hold until the engine is stopped or started with a config: also when
 * the engine went away by itself, and came back. All throw like {@link Engine.sysStats}, and {@link RoutingRefused}.
 */
export interface EngineRouting {
  /** All rules in their order, those that the node has added for itself among them. */
  rules(): Promise<RoutingRule[]>;
  /** What a balancer chooses. Throws {@link BalancerUnknown}. */
  balancer(tag: string): Promise<BalancerInfoResponse>;
  /** Where a connection would go. The address and the port must be well-formed. */
  route(connection: TestRouteRequest): Promise<RouteResult>;
  /**
   * Adds a rule, as it stands in the engine's config, behind all others; with `reset` in place of all rules and
   * balancers but the node's own. Throws {@link RuleRefused} or {@link RuleTagTaken}; nothing was changed then.
   */
  addRule(rule: string, reset: boolean): Promise<void>;
  /** Removes all rules of a name, if there are any. Throws {@link RuleRefused} for a rule that the node needs. */
  removeRule(ruleTag: string): Promise<void>;
  /**
   * Makes a balancer choose an outbound; an empty target leaves it to choose by itself again. Throws
   * {@link BalancerUnknown} or {@link OutboundUnknown}.
   */
  overrideBalancer(tag: string, target: string): Promise<void>;
}

/** The rule cannot be read, or cannot be changed. */
export class RuleRefused extends Error {
  override readonly name = "RuleRefused";
}

/** Another rule has the name already. */
export class RuleTagTaken extends Error {
  override readonly name = "RuleTagTaken";

  constructor(ruleTag: string) {
    super(`another rule has the tag "${ruleTag}"`);
  }
}

/** The routing has no balancer of that tag. */
export class BalancerUnknown extends Error {
  override readonly name = "BalancerUnknown";

  constructor(tag: string) {
    super(`balancer "${tag}" not found`);
  }
}

/** The config has no outbound of that tag. */
export class OutboundUnknown extends Error {
  override readonly name = "OutboundUnknown";

  constructor(tag: string) {
    super(`outbound "${tag}" not found`);
  }
}

/** The engine refused something about its routing. The message is its own. */
export class RoutingRefused extends Error {
  override readonly name = "RoutingRefused";
}
