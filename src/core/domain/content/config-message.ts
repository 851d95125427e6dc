import { create } from "@bufbuild/protobuf";
import {
  type ClientRef,
  ClientRefSchema,
  MtProtoMode,
  type MtProtoServiceConfig,
  MtProtoServiceConfigSchema,
  type NodeConfig,
  NodeConfigSchema,
  type SubscriptionTerms,
  SubscriptionTermsSchema,
  type WireGuardServiceConfig,
  WireGuardServiceConfigSchema,
  type WireGuardUser,
  WireGuardUserSchema,
  type XrayServiceConfig,
  XrayServiceConfigSchema,
} from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { Pace } from "../pace.ts";
import { membersOf } from "./json-spans.ts";

/** Reads the content of a config as the message that it is sent as. Revision and digest are left to the caller. */
export async function readConfig(content: string, pace: Pace): Promise<NodeConfig> {
  const members = membersOf(content);
  const services = membersOf(members.get("services") ?? "{}");
  const xray = services.get("xray");
  const mtproto = services.get("mtproto");
  const wireguard = services.get("wireguard");
  return create(NodeConfigSchema, {
    clientMap: await readMap(members.get("clientMap"), pace, readClientRef),
    mtprotoClientMap: await readMap(members.get("mtprotoClientMap"), pace, readClientRef),
    services: {
      ...(xray !== undefined && { xray: readXray(xray) }),
      ...(mtproto !== undefined && { mtproto: readMtproto(mtproto) }),
      ...(wireguard !== undefined && { wireguard: readWireGuard(wireguard) }),
    },
    subscriptionTerms: await readMap(members.get("subscriptionTerms"), pace, readTerms),
  });
}

/** Whom a link belongs to, as its entry of `clientMap` says. */
export function readClientRef(text: string): ClientRef {
  const { userId, subscriptionId } = JSON.parse(text) as { userId: number; subscriptionId: number | null };
  return create(ClientRefSchema, {
    userId: BigInt(userId),
    ...(subscriptionId !== null && { subscriptionId: BigInt(subscriptionId) }),
  });
}

/** The terms of a subscription, as its entry of `subscriptionTerms` says. */
export function readTerms(text: string): SubscriptionTerms {
  const { expiresAtMs, leaseBytes, failOpen, maxAddresses } = JSON.parse(text) as TermsJson;
  return create(SubscriptionTermsSchema, {
    ...(expiresAtMs !== undefined && { expiresAtMs: BigInt(expiresAtMs) }),
    ...(leaseBytes !== undefined && { leaseBytes: BigInt(leaseBytes) }),
    ...(failOpen !== undefined && { failOpen }),
    ...(maxAddresses !== undefined && { maxAddresses }),
  });
}

interface TermsJson {
  readonly expiresAtMs?: number;
  readonly leaseBytes?: number;
  readonly failOpen?: boolean;
  readonly maxAddresses?: number;
}

/** `services.xray` as a message. */
export function readXray(text: string): XrayServiceConfig {
  const { inbounds = "", outbounds = "", routing = "", extra = "" } = Object.fromEntries(membersOf(text));
  return create(XrayServiceConfigSchema, { inbounds, outbounds, routing, extra });
}

/** `services.mtproto` as a message. */
export function readMtproto(text: string): MtProtoServiceConfig {
  const { inbounds } = JSON.parse(text) as { inbounds: MtprotoInbound[] };
  return create(MtProtoServiceConfigSchema, {
    inbounds: inbounds.map(({ nodeProtocolId, modes, settings, ...rest }) => ({
      ...rest,
      nodeProtocolId: BigInt(nodeProtocolId),
      modes: modes.map((mode) => modesBySpelling[mode] ?? MtProtoMode.UNSPECIFIED),
      settings: settings === undefined ? "" : JSON.stringify(settings),
    })),
  });
}

interface MtprotoInbound {
  readonly nodeProtocolId: number;
  readonly listen?: string;
  readonly port: number;
  readonly modes: readonly string[];
  readonly tlsDomains?: string[];
  readonly users: { linkUuid: string; secret: string; maxAddresses?: number }[];
  readonly settings?: object;
}

const modesBySpelling: Readonly<Record<string, MtProtoMode>> = {
  classic: MtProtoMode.CLASSIC,
  secure: MtProtoMode.SECURE,
  tls: MtProtoMode.TLS,
};

/** `services.wireguard` as a message. */
export function readWireGuard(text: string): WireGuardServiceConfig {
  const { inbounds } = JSON.parse(text) as { inbounds: WireGuardInboundJson[] };
  return create(WireGuardServiceConfigSchema, {
    inbounds: inbounds.map(({ nodeProtocolId, ...rest }) => ({ ...rest, nodeProtocolId: BigInt(nodeProtocolId) })),
  });
}

/** A user of an interface of WireGuard as a message. */
export function readWireGuardUser(text: string): WireGuardUser {
  return create(WireGuardUserSchema, JSON.parse(text) as WireGuardUserJson);
}

interface WireGuardInboundJson {
  readonly nodeProtocolId: number;
  readonly tag: string;
  readonly port: number;
  readonly privateKey: string;
  readonly addresses: string[];
  readonly preSharedKey?: string;
  readonly users: WireGuardUserJson[];
}

interface WireGuardUserJson {
  readonly linkUuid: string;
  readonly publicKey: string;
  readonly peerIps: string[];
}

async function readMap<T>(text = "{}", pace: Pace, read: (text: string) => T): Promise<Record<string, T>> {
  const map: Record<string, T> = {};
  for (const [key, value] of membersOf(text)) {
    map[key] = read(value);
    const turn = pace();
    if (turn !== undefined) await turn;
  }
  return map;
}
