import { canonicalText, getField, type Json, type JsonObject } from "./json-object.ts";

/** A config taken apart into what can change while Xray runs and what cannot. Users are no part of it. */
export interface ConfigParts {
  /** In the order of the config. */
  readonly inbounds: readonly HandlerPart[];
  /** In the order of the config: the first is the default. */
  readonly outbounds: readonly HandlerPart[];
  /** Rules and balancers, and what these must choose. */
  readonly routing: string;
  /** Whether Xray takes the routing while it runs: it refuses rules or balancers of which two have the same tag. */
  readonly routable: boolean;
  /** Everything else, which Xray reads only when it starts. */
  readonly fixed: string;
}

/** An inbound or outbound. */
export interface HandlerPart {
  /** Empty where it has none. */
  readonly tag: string;
  /** The same for those that Xray would run the same way. */
  readonly text: string;
  /** Whether it can come and go while Xray runs. */
  readonly movable: boolean;
}

/** Takes a config apart that is ready to be run. `managed` are the tags of the inbounds whose users the node sets. */
export function partsOf(
  root: JsonObject,
  handlers: {
    inbounds: readonly Tagged[];
    outbounds: readonly Tagged[];
    managed: readonly string[];
    overrides: ReadonlyMap<string, string>;
  },
): ConfigParts {
  const routing = objectOf(getField(root, "routing"));
  const changing = Object.fromEntries(routingLists.map((name) => [name, getField(routing, name) ?? []]));
  // They stand in no document, but go when Xray is given other balancers.
  const overrides = [...handlers.overrides];
  const managed = new Set(handlers.managed);
  return {
    inbounds: handlers.inbounds.map((inbound) => partOf(inbound, movableInbounds, managed.has(inbound.tag))),
    outbounds: handlers.outbounds.map((outbound) => partOf(outbound, movableOutbounds, false)),
    routing: canonicalText(overrides.length === 0 ? changing : { ...changing, overrides }),
    routable: areDistinct(changing.rules, "ruleTag") && areDistinct(changing.balancers, "tag"),
    fixed: canonicalText({
      ...without(root, ["inbounds", "outbounds", "routing"]),
      routing: without(routing, routingLists),
    }),
  };
}

interface Tagged {
  readonly tag: string;
  readonly object: JsonObject;
}

const routingLists = ["rules", "balancers"];

// Those that end when they are taken away. A tunnel or a reverse proxy lives on, beside the one that replaces it.
const proxies = ["vless", "vmess", "trojan", "shadowsocks", "hysteria", "socks", "http"];
const movableInbounds = proxies.concat("mixed", "dokodemo-door", "tunnel");
const movableOutbounds = proxies.concat("freedom", "direct", "blackhole", "block", "dns", "loopback");

function partOf({ tag, object }: Tagged, movable: readonly string[], managed: boolean): HandlerPart {
  const text = canonicalText([object, managed]);
  const known = movable.includes(String(getField(object, "protocol")).toLowerCase());
  return { tag, text, movable: tag !== "" && known && !/"reverse":(?!null)/i.test(text) };
}

function areDistinct(list: Json | undefined, field: string): boolean {
  const tags = (Array.isArray(list) ? list : []).map((item) => getField(objectOf(item), field)).filter(Boolean);
  return new Set(tags).size === tags.length;
}

function without(object: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !names.includes(key.toLowerCase())));
}

function objectOf(value: Json | undefined): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}
