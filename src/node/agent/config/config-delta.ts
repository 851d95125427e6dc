import { createRegistry } from "@bufbuild/protobuf";
import {
  type ConfigDelta,
  type ConfigOperation,
  file_garrison_core_v1_node_config,
  MtProtoServiceConfigSchema,
  type NodeConfig,
  SubscriptionTermsSchema,
  type WireGuardPeer,
  type WireGuardPeerKey,
  WireGuardServiceConfigSchema,
  WireGuardUserSchema,
  type XrayClient,
  type XrayClientKey,
} from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { canonicalJson } from "../../../platform/canonical-json.ts";
import { createWriters } from "../../../platform/rest/json/writer.ts";
import { configOf, digestOf } from "./config-content.ts";
import { putSorted, removeSorted } from "./sorted-users.ts";

/**
 * The config that a delta leads to from a content, and what its digest is over. Undefined when it does not lead to the
 * digest that it names, or has a step that is not known here, or cannot be taken: the whole config is to be fetched then.
 */
export function afterDelta(
  content: string,
  { operations, revision, digest }: ConfigDelta,
): { readonly config: NodeConfig; readonly content: string } | undefined {
  const changed: ContentJson = JSON.parse(content);
  if (!takeAll(changed, operations)) return undefined;
  const after = canonicalJson(changed);
  if (digestOf(after) !== digest) return undefined;
  return { config: Object.assign(configOf(after), { revision, digest }), content: after };
}

function takeAll(content: ContentJson, operations: readonly ConfigOperation[]): boolean {
  try {
    if (!operations.every(({ operation }) => take(content, operation))) return false;
  } catch (error) {
    if (error instanceof SyntaxError) return false; // JSON of a step that is none
    throw error;
  }
  leaveOutEmpty(content);
  return true;
}

/** A content as JSON, as far as deltas change it. */
interface ContentJson {
  readonly clientMap: Record<string, unknown>;
  mtprotoClientMap?: Record<string, unknown>;
  readonly services: { xray?: XrayJson; mtproto?: unknown; wireguard?: WireGuardJson };
  subscriptionTerms?: Record<string, unknown>;
}

interface XrayJson {
  inbounds: InboundJson[];
  outbounds: unknown;
  routing?: unknown;
  extra?: unknown;
}

interface InboundJson {
  readonly tag: string;
  readonly settings?: { clients?: ClientJson[] };
}

interface ClientJson {
  readonly email: string;
}

interface WireGuardJson {
  readonly inbounds: { readonly tag?: string; readonly users: PeerJson[] }[];
}

interface PeerJson {
  readonly linkUuid: string;
}

type Step = ConfigOperation["operation"];

/** Takes a step. False: it is not known here, or what it is about is not there. */
function take(content: ContentJson, step: Step): boolean {
  const { services } = content;
  switch (step.case) {
    case "putLink":
      return putLink(content, step.value);
    case "removeLink":
      delete content.clientMap[step.value];
      delete content.mtprotoClientMap?.[step.value];
      return true;
    case "putSubscriptionTerms":
      if (step.value.terms === undefined) return false;
      content.subscriptionTerms ??= {};
      content.subscriptionTerms[`${step.value.subscriptionId}`] = JSON.parse(write.terms(step.value.terms));
      return true;
    case "removeSubscriptionTerms":
      delete content.subscriptionTerms?.[`${step.value}`];
      return true;
    case "replaceMtproto":
      services.mtproto = JSON.parse(write.mtproto(step.value));
      return true;
    case "removeMtproto":
      delete services.mtproto;
      return true;
    case "replaceXray": {
      const { inbounds, outbounds, routing, extra } = step.value;
      services.xray = { inbounds: JSON.parse(inbounds), outbounds: JSON.parse(outbounds) };
      setText(services.xray, "routing", routing);
      setText(services.xray, "extra", extra);
      return true;
    }
    case "removeXray":
      delete services.xray;
      return true;
    case "replaceWireguard":
      services.wireguard = JSON.parse(write.wireguard(step.value));
      return true;
    case "removeWireguard":
      delete services.wireguard;
      return true;
    case "putWireguardPeer":
      return services.wireguard !== undefined && putPeer(services.wireguard, step.value);
    case "removeWireguardPeer":
      return services.wireguard !== undefined && removePeer(services.wireguard, step.value);
    default:
      return services.xray !== undefined && takeXrayStep(services.xray, step);
  }
}

function takeXrayStep(xray: XrayJson, step: Step): boolean {
  switch (step.case) {
    case "putXrayClient":
      return putClient(xray, step.value);
    case "removeXrayClient":
      return removeClient(xray, step.value);
    case "putXrayInbound": {
      const inbound: InboundJson = JSON.parse(step.value);
      const place = xray.inbounds.findIndex(({ tag }) => tag === inbound.tag);
      xray.inbounds.splice(place < 0 ? xray.inbounds.length : place, 1, inbound);
      return true;
    }
    case "removeXrayInbound":
      xray.inbounds = xray.inbounds.filter(({ tag }) => tag !== step.value);
      return true;
    case "replaceXrayOutbounds":
      xray.outbounds = JSON.parse(step.value);
      return true;
    case "replaceXrayRouting":
      setText(xray, "routing", step.value);
      return true;
    case "replaceXrayExtra":
      setText(xray, "extra", step.value);
      return true;
    default:
      return false;
  }
}

function putClient({ inbounds }: XrayJson, { inboundTag, client }: XrayClient): boolean {
  const settings = inbounds.find(({ tag }) => tag === inboundTag)?.settings;
  if (settings === undefined) return false;
  settings.clients ??= [];
  const { clients } = settings;
  putSorted(clients, JSON.parse(client), emailOf);
  return true;
}

function removeClient({ inbounds }: XrayJson, { inboundTag, email }: XrayClientKey): boolean {
  const clients = inbounds.find(({ tag }) => tag === inboundTag)?.settings?.clients;
  return clients !== undefined && removeSorted(clients, email, emailOf);
}

function putPeer({ inbounds }: WireGuardJson, { inboundTag, user }: WireGuardPeer): boolean {
  const users = inbounds.find(({ tag }) => tag === inboundTag)?.users;
  if (users === undefined || user === undefined) return false;
  putSorted(users, JSON.parse(write.peer(user)), linkOf);
  return true;
}

function removePeer({ inbounds }: WireGuardJson, { inboundTag, linkUuid }: WireGuardPeerKey): boolean {
  const users = inbounds.find(({ tag }) => tag === inboundTag)?.users;
  return users !== undefined && removeSorted(users, linkUuid, linkOf);
}

const emailOf = ({ email }: ClientJson) => email;
const linkOf = ({ linkUuid }: PeerJson) => linkUuid;

function putLink(content: ContentJson, { uuid, client, mtproto }: MessageOf<"putLink">): boolean {
  if (client === undefined) return false;
  const owner = { userId: Number(client.userId), subscriptionId: idOrNull(client.subscriptionId) };
  content.clientMap[uuid] = owner;
  if (mtproto) content.mtprotoClientMap = { ...content.mtprotoClientMap, [uuid]: owner };
  else delete content.mtprotoClientMap?.[uuid];
  return true;
}

type MessageOf<Case extends Step["case"]> = Extract<Step, { case: Case }>["value"] & object;

function idOrNull(id: bigint | undefined): number | null {
  return id === undefined ? null : Number(id);
}

function setText(xray: XrayJson, name: "routing" | "extra", text: string): void {
  if (text === "") delete xray[name];
  else xray[name] = JSON.parse(text);
}

/** Maps that a config has only with something in them. */
function leaveOutEmpty(content: ContentJson): void {
  for (const name of ["mtprotoClientMap", "subscriptionTerms"] as const)
    if (Object.keys(content[name] ?? {}).length === 0) delete content[name];
}

const writers = createWriters(createRegistry(file_garrison_core_v1_node_config), false);
const write = {
  terms: writers.message(SubscriptionTermsSchema),
  mtproto: writers.message(MtProtoServiceConfigSchema),
  wireguard: writers.message(WireGuardServiceConfigSchema),
  peer: writers.message(WireGuardUserSchema),
};
