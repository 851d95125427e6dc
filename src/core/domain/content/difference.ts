import { create } from "@bufbuild/protobuf";
import {
  type ConfigOperation,
  ConfigOperationSchema,
  LinkSchema,
  SubscriptionTermsEntrySchema,
  XrayClientKeySchema,
  XrayClientSchema,
} from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { Pace } from "../pace.ts";
import { readClientRef, readMtproto, readTerms, readXray } from "./config-message.ts";
import { byEmail, type InboundParts, inboundParts } from "./inbound.ts";
import { elementsOf, membersOf } from "./json-spans.ts";
import { unlikePart } from "./unlike-part.ts";

/** What makes `to` of `from`, two contents of configs, step by step. No steps: they are equal. */
export async function difference(from: string, to: string, pace: Pace): Promise<ConfigOperation[]> {
  if (from === to) return [];
  const [before, after] = [partsOf(from), partsOf(to)];
  await pace();
  const steps = [
    ...(await xraySteps(before.xray, after.xray, pace)),
    ...mtprotoSteps(before.mtproto, after.mtproto),
    ...(await linkSteps(before, after, pace)),
    ...(await entrySteps(...unlikeMembers(before.terms, after.terms), pace, putTerms, (id) => ({
      case: "removeSubscriptionTerms",
      value: BigInt(id),
    }))),
  ];
  return steps.map((operation) => create(ConfigOperationSchema, { operation }));
}

type Step = Exclude<ConfigOperation["operation"], { case: undefined }>;

/** The members of a content, as texts. */
function partsOf(content: string) {
  const members = membersOf(content);
  const services = membersOf(members.get("services") ?? "{}");
  return {
    xray: services.get("xray"),
    mtproto: services.get("mtproto"),
    links: members.get("clientMap") ?? "{}",
    mtprotoLinks: members.get("mtprotoClientMap") ?? "{}",
    terms: members.get("subscriptionTerms") ?? "{}",
  };
}

type Parts = ReturnType<typeof partsOf>;

/** The entries of two maps, as texts, without most of those that are the same. */
function unlikeMembers(before: string, after: string): [Map<string, string>, Map<string, string>] {
  const [from, to] = unlikePart(before, after, '"');
  return [membersOf(from), membersOf(to)];
}

function linkSteps(before: Parts, after: Parts, pace: Pace): Promise<Step[]> {
  const sameMtproto = before.mtprotoLinks === after.mtprotoLinks;
  const [from, to] = sameMtproto ? unlikeMembers(before.links, after.links) : [before, after].map(withMtproto);
  const mtproto = membersOf(after.mtprotoLinks);
  const put = (uuid: string, client: string): Step => ({
    case: "putLink",
    value: create(LinkSchema, { uuid, mtproto: mtproto.has(uuid), client: readClientRef(client.trimStart()) }),
  });
  return entrySteps(from ?? new Map(), to ?? new Map(), pace, put, (uuid) => ({ case: "removeLink", value: uuid }));
}

/** All links; those of MTProto are told from others by white space. */
function withMtproto({ links, mtprotoLinks }: Parts): Map<string, string> {
  const mtproto = membersOf(mtprotoLinks);
  return new Map([...membersOf(links)].map(([uuid, client]) => [uuid, mtproto.has(uuid) ? ` ${client}` : client]));
}

function putTerms(id: string, terms: string): Step {
  return {
    case: "putSubscriptionTerms",
    value: create(SubscriptionTermsEntrySchema, { subscriptionId: BigInt(id), terms: readTerms(terms) }),
  };
}

/** Steps about the entries of a map that are not the same. */
async function entrySteps(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
  pace: Pace,
  put: (key: string, value: string) => Step,
  remove: (key: string) => Step,
): Promise<Step[]> {
  const steps: Step[] = [];
  for (const key of before.keys()) if (!after.has(key)) steps.push(remove(key));
  await pace();
  for (const [key, value] of after) if (before.get(key) !== value) steps.push(put(key, value));
  await pace();
  return steps;
}

function mtprotoSteps(before: string | undefined, after: string | undefined): Step[] {
  if (before === after) return [];
  return [
    after === undefined
      ? { case: "removeMtproto", value: true }
      : { case: "replaceMtproto", value: readMtproto(after) },
  ];
}

async function xraySteps(before: string | undefined, after: string | undefined, pace: Pace): Promise<Step[]> {
  if (before === after) return [];
  if (after === undefined) return [{ case: "removeXray", value: true }];
  const whole: Step[] = [{ case: "replaceXray", value: readXray(after) }];
  if (before === undefined) return whole;
  const [from, to] = [readXray(before), readXray(after)];
  const inbounds = await inboundSteps(from.inbounds, to.inbounds, pace);
  if (inbounds === undefined) return whole;
  const steps: Step[] = [];
  if (from.outbounds !== to.outbounds) steps.push({ case: "replaceXrayOutbounds", value: to.outbounds });
  if (from.extra !== to.extra) steps.push({ case: "replaceXrayExtra", value: to.extra });
  steps.push(...inbounds);
  if (from.routing !== to.routing) steps.push({ case: "replaceXrayRouting", value: to.routing });
  return steps;
}

/** Undefined: no steps lead there, because inbounds would stand in another order. */
async function inboundSteps(before: string, after: string, pace: Pace): Promise<Step[] | undefined> {
  if (before === after) return [];
  const from = new Map(elementsOf(before).map((text) => byTag(inboundParts(text))));
  const to = new Map(elementsOf(after).map((text) => byTag(inboundParts(text))));
  await pace();
  const kept = [...from.keys()].filter((tag) => to.has(tag));
  const added = [...to.keys()].filter((tag) => !from.has(tag));
  if ([...kept, ...added].join("\n") !== [...to.keys()].join("\n")) return undefined;
  const steps: Step[] = [];
  for (const tag of from.keys()) if (!to.has(tag)) steps.push({ case: "removeXrayInbound", value: tag });
  for (const [tag, inbound] of to) {
    const old = from.get(tag);
    if (old?.text === inbound.text) continue;
    const ofClients = old?.shell === inbound.shell ? await clientSteps(tag, old, inbound, pace) : undefined;
    steps.push(...(ofClients ?? [{ case: "putXrayInbound", value: inbound.text } as const]));
  }
  return steps;
}

function byTag(inbound: InboundParts): [string, InboundParts] {
  return [inbound.tag, inbound];
}

async function clientSteps(inboundTag: string, before: InboundParts, after: InboundParts, pace: Pace): Promise<Step[]> {
  const [from, to] = unlikePart(before.clients, after.clients, '{"');
  return entrySteps(
    byEmail(from),
    byEmail(to),
    pace,
    (_, client) => ({ case: "putXrayClient", value: create(XrayClientSchema, { inboundTag, client }) }),
    (email) => ({ case: "removeXrayClient", value: create(XrayClientKeySchema, { inboundTag, email }) }),
  );
}
