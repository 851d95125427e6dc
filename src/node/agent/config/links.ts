import type { ClientRef, NodeConfig } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { VpnProtocol } from "../../../../gen/garrison/core/v1/vpn_protocol_pb.ts";

/** To whom a link belongs. */
export interface Owner {
  readonly userId: number;
  readonly subscriptionId: number | undefined;
}

/** To whom a link belonged that the config had once, and until when it is remembered, in milliseconds since 1970. */
export interface FormerLink extends Owner {
  readonly until: number;
}

/** What a config says of links and protocols. */
export interface Links {
  /** Those that it has, by UUID. */
  readonly owners: ReadonlyMap<string, Owner>;
  /** Those that it had. */
  readonly former: ReadonlyMap<string, FormerLink>;
  /** The node protocols that inbounds of Xray serve, by tag. */
  readonly protocols: ReadonlyMap<string, number>;
  /** What kind of protocol a node protocol is. */
  readonly kinds: ReadonlyMap<number, VpnProtocol>;
}

/** Users of engines are named `<nodeProtocolId>.<link UUID>`. */
const userName = /^(\d{1,15})\.([0-9a-f-]{36})$/;

/** What such a name says; undefined for any other. */
export function readUserName(name: string): { readonly nodeProtocolId: number; readonly uuid: string } | undefined {
  const [, protocol, uuid] = userName.exec(name) ?? [];
  return protocol === undefined || uuid === undefined ? undefined : { nodeProtocolId: Number(protocol), uuid };
}

// Connections of users who were removed may live on for long, and are counted.
const rememberedMs = 7 * 86_400_000;

/** Reads them of a config. Links that were there before and are gone are remembered for a week. */
export function linksOf(config: NodeConfig, before: Pick<Links, "owners" | "former">, now: number): Links {
  const clients = Object.entries({ ...config.mtprotoClientMap, ...config.clientMap });
  const owners = new Map(clients.map(([uuid, client]) => [uuid, ownerOf(client)]));
  const former = new Map<string, FormerLink>();
  for (const [uuid, link] of before.former) if (!owners.has(uuid) && link.until > now) former.set(uuid, link);
  for (const [uuid, owner] of before.owners)
    if (!owners.has(uuid)) former.set(uuid, { ...owner, until: now + rememberedMs });
  return { owners, former, ...protocolsOf(config) };
}

/** To whom a link belongs, or did until it was removed. */
export function ownerIn({ owners, former }: Pick<Links, "owners" | "former">, uuid: string): Owner | undefined {
  return owners.get(uuid) ?? former.get(uuid);
}

function ownerOf({ userId, subscriptionId }: ClientRef): Owner {
  return { userId: Number(userId), subscriptionId: subscriptionId === undefined ? undefined : Number(subscriptionId) };
}

const kindsByName: Readonly<Record<string, VpnProtocol>> = {
  vless: VpnProtocol.VLESS,
  vmess: VpnProtocol.VMESS,
  trojan: VpnProtocol.TROJAN,
  shadowsocks: VpnProtocol.SHADOWSOCKS,
  hysteria: VpnProtocol.HYSTERIA2,
  wireguard: VpnProtocol.WIREGUARD,
};

/** An inbound is known by its users: their names begin with the id of the node protocol. */
function protocolsOf({ services }: NodeConfig): Pick<Links, "protocols" | "kinds"> {
  const protocols = new Map<string, number>();
  const kinds = new Map<number, VpnProtocol>();
  for (const { tag = "", protocol = "", settings } of inboundsIn(services?.xray?.inbounds)) {
    const read = readUserName(settings?.clients?.[0]?.email ?? "");
    if (read === undefined) continue;
    protocols.set(tag, read.nodeProtocolId);
    kinds.set(read.nodeProtocolId, kindsByName[protocol] ?? VpnProtocol.UNSPECIFIED);
  }
  for (const { nodeProtocolId } of services?.mtproto?.inbounds ?? [])
    kinds.set(Number(nodeProtocolId), VpnProtocol.MTPROTO);
  for (const { nodeProtocolId } of services?.wireguard?.inbounds ?? [])
    kinds.set(Number(nodeProtocolId), VpnProtocol.WIREGUARD);
  return { protocols, kinds };
}

/** The inbounds of a service. What is none is left out: whoever runs the config says what is wrong with it. */
export function inboundsIn(text = "[]"): XrayInbound[] {
  try {
    const inbounds: unknown = JSON.parse(text);
    return Array.isArray(inbounds) ? inbounds.filter((inbound) => typeof inbound === "object" && inbound !== null) : [];
  } catch {
    return [];
  }
}

/** An inbound as Xray has it, as far as its users go. */
export interface XrayInbound {
  readonly tag?: string;
  readonly protocol?: string;
  readonly settings?: { readonly clients?: readonly XrayClient[] };
}

/** A user of an inbound, with one of the credentials. */
export interface XrayClient {
  readonly email?: string;
  readonly id?: string;
  readonly password?: string;
  readonly auth?: string;
}
