import { createHash } from "node:crypto";
import { clone, create, createRegistry } from "@bufbuild/protobuf";
import {
  type ConfigOperation,
  file_garrison_core_v1_node_config,
  type NodeConfig,
  NodeConfigSchema,
  NodeServicesSchema,
  type WireGuardServiceConfig,
  type WireGuardUser,
  type XrayServiceConfig,
} from "../../gen/garrison/core/v1/node_config_pb.ts";
import { canonicalJson } from "../../src/platform/canonical-json.ts";
import { createWriters } from "../../src/platform/rest/json/writer.ts";

// What an agent makes of configs, written from the contract alone.

const writeConfig = createWriters(createRegistry(file_garrison_core_v1_node_config), false).message(NodeConfigSchema);

/** What the digest of a config is over: its JSON, as the route sends it, without `revision` and `digest`. */
export function contentOf(config: NodeConfig): string {
  const { revision: _, digest: __, ...content } = JSON.parse(writeConfig(config));
  return canonicalJson(content);
}

/** The digest of a config as an agent computes it. */
export function agentDigest(config: NodeConfig): string {
  return createHash("sha256").update(contentOf(config)).digest("hex");
}

/** A config after the steps of a delta. */
export function afterOperations(config: NodeConfig, operations: readonly ConfigOperation[]): NodeConfig {
  const changed = clone(NodeConfigSchema, config);
  changed.services ??= create(NodeServicesSchema);
  for (const { operation } of operations) apply(changed, changed.services, operation);
  return changed;
}

type Inbound = { tag: string; settings: { clients: { email: string }[] } };

function apply(
  config: NodeConfig,
  services: NonNullable<NodeConfig["services"]>,
  step: ConfigOperation["operation"],
): void {
  const { xray } = services;
  switch (step.case) {
    case "putXrayClient":
      changeInbounds(xray, (inbounds) =>
        inbounds.map((inbound) =>
          inbound.tag === step.value.inboundTag ? withClient(inbound, step.value.client) : inbound,
        ),
      );
      return;
    case "removeXrayClient":
      changeInbounds(xray, (inbounds) =>
        inbounds.map((inbound) =>
          inbound.tag === step.value.inboundTag ? withoutClient(inbound, step.value.email) : inbound,
        ),
      );
      return;
    case "putXrayInbound": {
      const put: Inbound = JSON.parse(step.value);
      changeInbounds(xray, (inbounds) =>
        inbounds.some(({ tag }) => tag === put.tag)
          ? inbounds.map((inbound) => (inbound.tag === put.tag ? put : inbound))
          : [...inbounds, put],
      );
      return;
    }
    case "removeXrayInbound":
      changeInbounds(xray, (inbounds) => inbounds.filter(({ tag }) => tag !== step.value));
      return;
    case "replaceXrayOutbounds":
      if (xray) xray.outbounds = step.value;
      return;
    case "replaceXrayRouting":
      if (xray) xray.routing = step.value;
      return;
    case "replaceXrayExtra":
      if (xray) xray.extra = step.value;
      return;
    case "replaceXray":
      services.xray = step.value;
      return;
    case "removeXray":
      delete services.xray;
      return;
    case "replaceMtproto":
      services.mtproto = step.value;
      return;
    case "removeMtproto":
      delete services.mtproto;
      return;
    case "replaceWireguard":
      services.wireguard = step.value;
      return;
    case "removeWireguard":
      delete services.wireguard;
      return;
    case "putWireguardPeer": {
      const { inboundTag, user } = step.value;
      if (user === undefined) throw new Error("a peer has no user");
      changePeers(services.wireguard, inboundTag, (users) => [...without(users, user.linkUuid), user]);
      return;
    }
    case "removeWireguardPeer": {
      const { inboundTag, linkUuid } = step.value;
      changePeers(services.wireguard, inboundTag, (users) => without(users, linkUuid));
      return;
    }
    case "putLink": {
      const { uuid, client, mtproto } = step.value;
      if (client === undefined) throw new Error("a link belongs to nobody");
      config.clientMap[uuid] = client;
      if (mtproto) config.mtprotoClientMap[uuid] = client;
      else delete config.mtprotoClientMap[uuid];
      return;
    }
    case "removeLink":
      delete config.clientMap[step.value];
      delete config.mtprotoClientMap[step.value];
      return;
    case "putSubscriptionTerms":
      if (step.value.terms) config.subscriptionTerms[`${step.value.subscriptionId}`] = step.value.terms;
      return;
    case "removeSubscriptionTerms":
      delete config.subscriptionTerms[`${step.value}`];
      return;
    default:
      throw new Error("an agent that does not know a step calls GetConfig");
  }
}

function changeInbounds(xray: XrayServiceConfig | undefined, change: (inbounds: Inbound[]) => Inbound[]): void {
  if (xray === undefined) throw new Error("the config has no Xray");
  xray.inbounds = JSON.stringify(change(JSON.parse(xray.inbounds)));
}

function changePeers(
  service: WireGuardServiceConfig | undefined,
  tag: string,
  change: (users: WireGuardUser[]) => WireGuardUser[],
): void {
  const inbound = service?.inbounds.find((one) => one.tag === tag);
  if (inbound === undefined) throw new Error("the config has no such interface");
  inbound.users = change(inbound.users).sort((a, b) => (a.linkUuid < b.linkUuid ? -1 : 1));
}

function without(users: readonly WireGuardUser[], uuid: string): WireGuardUser[] {
  return users.filter(({ linkUuid }) => linkUuid !== uuid);
}

function withClient(inbound: Inbound, text: string): Inbound {
  const client = JSON.parse(text);
  const { settings } = withoutClient(inbound, client.email);
  const clients = [...settings.clients, client].sort((a, b) => (a.email < b.email ? -1 : 1));
  return { ...inbound, settings: { ...settings, clients } };
}

function withoutClient(inbound: Inbound, email: string): Inbound {
  const clients = inbound.settings.clients.filter((client) => client.email !== email);
  return { ...inbound, settings: { ...inbound.settings, clients } };
}
