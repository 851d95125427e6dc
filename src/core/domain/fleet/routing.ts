import { type JsonObject, objectIn } from "./json-object.ts";
import { Invalid } from "./situations.ts";

/** The tags of a node that its routing may name. */
export interface NodeTags {
  /** Of outbounds that are enabled. */
  readonly outbounds: readonly string[];
  readonly inbounds: readonly string[];
}

/**
 * Checks Xray's `routing`: its rules name outbounds, inbounds and balancers that are there. Throws {@link Invalid} with
 * ROUTING_INVALID.
 */
export function checkRouting(routing: JsonObject, tags: NodeTags): void {
  checkSpelling("", routing, ["rules", "balancers"]);
  const balancers = elementsOf(routing, "balancers");
  const balancerTags = balancers.map(({ tag }, index) => {
    return typeof tag === "string" && tag !== "" ? tag : refuse(`balancers[${index}].tag`, "is missing");
  });
  const ruleTags = new Set<unknown>();
  for (const [index, rule] of elementsOf(routing, "rules").entries()) {
    const place = `rules[${index}]`;
    checkSpelling(`${place}.`, rule, ["outboundTag", "balancerTag", "inboundTag", "ruleTag"]);
    const { outboundTag, balancerTag, ruleTag } = rule;
    if (outboundTag === undefined && balancerTag === undefined)
      refuse(place, "has neither outboundTag nor balancerTag");
    if (outboundTag !== undefined) checkTag(`${place}.outboundTag`, outboundTag, tags.outbounds, "outbounds");
    if (balancerTag !== undefined) checkTag(`${place}.balancerTag`, balancerTag, balancerTags, "balancers");
    for (const tag of inboundTags(rule)) checkTag(`${place}.inboundTag`, tag, tags.inbounds, "inbounds");
    if (ruleTag === undefined) continue;
    if (ruleTags.has(ruleTag)) refuse(`${place}.ruleTag`, "is the tag of a rule before it");
    ruleTags.add(ruleTag);
  }
}

/** Checks further sections of Xray's config. Throws {@link Invalid} with ROUTING_INVALID. */
export function checkExtra(extra: JsonObject): void {
  for (const [name, value] of Object.entries(extra)) {
    // Xray, and the node with it, read names in any case.
    const section = name.toLowerCase();
    if (ownSections.includes(section)) {
      throw new Invalid("ROUTING_INVALID", `extra: ${name}: has a place of its own, or is the node's`);
    }
    // Several pools of made-up addresses are a list.
    const isObject = objectIn(value) !== undefined || (section === "fakedns" && Array.isArray(value));
    if (!isObject) throw new Invalid("ROUTING_INVALID", `extra: ${name}: is no JSON object`);
  }
}

/** The rules of a routing that name an outbound, by their places. Balancers choose among the outbounds that are there. */
export function rulesWithOutbound(routing: JsonObject, tag: string): string[] {
  return elementsOf(routing, "rules").flatMap((rule, index) => (rule.outboundTag === tag ? [`rules[${index}]`] : []));
}

/** The rules of a routing that name an inbound, by their places. */
export function rulesWithInbound(routing: JsonObject, tag: string): string[] {
  return elementsOf(routing, "rules").flatMap((rule, index) =>
    inboundTags(rule).includes(tag) ? [`rules[${index}]`] : [],
  );
}

const ownSections = ["inbounds", "outbounds", "routing", "api", "stats", "log"];

/** Xray would take a name in another case for the same, and what it holds would not be checked. */
function checkSpelling(place: string, object: JsonObject, names: readonly string[]): void {
  for (const given of Object.keys(object)) {
    const name = names.find((each) => each !== given && each.toLowerCase() === given.toLowerCase());
    if (name !== undefined) refuse(`${place}${given}`, `is spelled ${name}`);
  }
}

function elementsOf(routing: JsonObject, name: string): JsonObject[] {
  const list = routing[name] ?? [];
  if (!Array.isArray(list)) return refuse(name, "is no list");
  return list.map((element, index) => objectIn(element) ?? refuse(`${name}[${index}]`, "is no JSON object"));
}

/** Xray takes a list, and a string of names joined by commas. */
function inboundTags({ inboundTag = [] }: JsonObject): unknown[] {
  if (typeof inboundTag === "string") return inboundTag.split(",");
  return Array.isArray(inboundTag) ? inboundTag : [inboundTag];
}

function checkTag(place: string, tag: unknown, known: readonly string[], what: string): void {
  if (known.some((each) => each === tag)) return;
  const among = known.length === 0 ? `there are no ${what}` : `is none of the ${what} ${known.join(", ")}`;
  refuse(place, among);
}

function refuse(place: string, reason: string): never {
  throw new Invalid("ROUTING_INVALID", `routing: ${place}: ${reason}`);
}
