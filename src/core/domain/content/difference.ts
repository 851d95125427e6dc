import { create } from "@bufbuild/protobuf";
import {
  type ConfigOperation,
  ConfigOperationSchema,
  LinkSchema,
  SubscriptionTermsEntrySchema,
  WireGuardPeerKeySchema,
  WireGuardPeerSchema,
  XrayClientKeySchema,
  XrayClientSchema,
} from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { Pace } from "../pace.ts";
import { readClientRef, readMtproto, readTerms, readWireGuard, readWireGuardUser } from "./config-message.ts";
import type { ContentParts, XrayParts } from "./content-parts.ts";
import { byEmail, type InboundParts } from "./inbound.ts";
import { byLink, soleInterface } from "./interface.ts";
import { membersOf } from "./json-spans.ts";
import { unlikePart } from "./unlike-part.ts";

/** What makes `after` of `before`, two contents of configs, step by step. No steps: they are equal. */
export async function difference(before: ContentParts, after: ContentParts, pace: Pace): Promise<ConfigOperation[]> {
  if (before.content === after.content) return [];
  await pace();
  const steps = [
    ...(await xraySteps(before.xray, after.xray, pace)),
    ...mtprotoSteps(before.mtproto, after.mtproto),
    ...(await wireGuardSteps(before.wireguard, after.wireguard, pace)),
    ...(await linkSteps(before, after, pace)),
    ...(await entrySteps(...unlikeMembers(before.terms, after.terms), pace, putTerms, (id) => ({
      case: "removeSubscriptionTerms",
      value: BigInt(id),
    }))),
  ];
  return steps.map((operation) => create(ConfigOperationSchema, { operation }));
}

type Step = Exclude<ConfigOperation["operation"], { case: undefined }>;

/** The entries of two maps, as texts, without most of those that are the same. */
function unlikeMembers(before: string, after: string): [Map<string, string>, Map<string, string>] {
  const [from, to] = unlikePart(before, after, '"');
  return [membersOf(from), membersOf(to)];
}

function linkSteps(before: ContentParts, after: ContentParts, pace: Pace): Promise<Step[]> {
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
function withMtproto({ links, mtprotoLinks }: ContentParts): Map<string, string> {
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

async function wireGuardSteps(before: string | undefined, after: string | undefined, pace: Pace): Promise<Step[]> {
  if (before === after) return [];
  if (after === undefined) return [{ case: "removeWireguard", value: true }];
  const [from, to] = [before, after].map(soleInterface);
  if (from === undefined || to === undefined || from.shell !== to.shell) {
    return [{ case: "replaceWireguard", value: readWireGuard(after) }];
  }
  const inboundTag = to.tag;
  const [fromUsers, toUsers] = unlikePart(from.users, to.users, '{"');
  return entrySteps(
    byLink(fromUsers),
    byLink(toUsers),
    pace,
    (_, user) => ({
      case: "putWireguardPeer",
      value: create(WireGuardPeerSchema, { inboundTag, user: readWireGuardUser(user) }),
    }),
    (linkUuid) => ({ case: "removeWireguardPeer", value: create(WireGuardPeerKeySchema, { inboundTag, linkUuid }) }),
  );
}

async function xraySteps(before: XrayParts | undefined, after: XrayParts | undefined, pace: Pace): Promise<Step[]> {
  if (before?.text === after?.text) return [];
  if (after === undefined) return [{ case: "removeXray", value: true }];
  const whole: Step[] = [{ case: "replaceXray", value: after.message }];
  if (before === undefined) return whole;
  const [from, to] = [before.message, after.message];
  const inbounds = from.inbounds === to.inbounds ? [] : await inboundSteps(before.inbounds, after.inbounds, pace);
  if (inbounds === undefined) return whole;
  const steps: Step[] = [];
  if (from.outbounds !== to.outbounds) steps.push({ case: "replaceXrayOutbounds", value: to.outbounds });
  if (from.extra !== to.extra) steps.push({ case: "replaceXrayExtra", value: to.extra });
  steps.push(...inbounds);
  if (from.routing !== to.routing) steps.push({ case: "replaceXrayRouting", value: to.routing });
  return steps;
}

/** Undefined: no steps lead there, because inbounds would stand in another order. */
async function inboundSteps(
  from: ReadonlyMap<string, InboundParts>,
  to: ReadonlyMap<string, InboundParts>,
  pace: Pace,
): Promise<Step[] | undefined> {
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
