import { clone } from "@bufbuild/protobuf";
import { type NodeConfig, NodeConfigSchema } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { inboundsIn, readUserName, type XrayClient, type XrayInbound } from "./links.ts";

/**
 * A config that runs, with the users, links and terms of a newer one that does not: who may come in since then does, and
 * who may not is out, though the rest of the newer one has to wait. Whoever is in both stays as they are, for what the
 * newer one says of them may need what does not run. What only the older one has keeps those whose links there still are.
 */
export function withUsersOf(older: NodeConfig, newer: NodeConfig): NodeConfig {
  const config = clone(NodeConfigSchema, older);
  const { clientMap, mtprotoClientMap, subscriptionTerms } = newer;
  Object.assign(config, { clientMap, mtprotoClientMap, subscriptionTerms });
  const isLink = (uuid: string) => uuid in clientMap || uuid in mtprotoClientMap;
  const { xray, mtproto, wireguard } = config.services ?? {};
  const { xray: newXray, mtproto: newMtproto, wireguard: newWireguard } = newer.services ?? {};
  if (xray !== undefined)
    xray.inbounds = JSON.stringify(xrayInbounds(inboundsIn(xray.inbounds), inboundsIn(newXray?.inbounds), isLink));
  for (const inbound of mtproto?.inbounds ?? []) {
    const users = newMtproto?.inbounds.find(({ nodeProtocolId }) => nodeProtocolId === inbound.nodeProtocolId)?.users;
    inbound.users = users ?? inbound.users.filter(({ linkUuid }) => isLink(linkUuid));
  }
  for (const inbound of wireguard?.inbounds ?? []) {
    const users = newWireguard?.inbounds.find(({ nodeProtocolId }) => nodeProtocolId === inbound.nodeProtocolId)?.users;
    const known = new Map(inbound.users.map((user) => [user.linkUuid, user]));
    inbound.users =
      users?.map((user) => {
        const before = known.get(user.linkUuid);
        return before?.publicKey === user.publicKey ? before : user;
      }) ?? inbound.users.filter(({ linkUuid }) => isLink(linkUuid));
  }
  return config;
}

function xrayInbounds(
  older: readonly XrayInbound[],
  newer: readonly XrayInbound[],
  isLink: (uuid: string) => boolean,
): XrayInbound[] {
  const isStill = ({ email = "" }: XrayClient) => {
    const name = readUserName(email);
    return name === undefined || isLink(name.uuid);
  };
  return older.map((inbound) => {
    const { settings } = inbound;
    const counterpart = newer.find(({ tag, protocol }) => tag === inbound.tag && protocol === inbound.protocol);
    if (settings?.clients === undefined && counterpart?.settings?.clients === undefined) return inbound;
    const known = new Map(settings?.clients?.map((client) => [client.email, client]));
    const clients =
      counterpart === undefined
        ? settings?.clients?.filter(isStill)
        : counterpart.settings?.clients?.map((client) => {
            const before = known.get(client.email);
            return before !== undefined && hasSameCredential(before, client) ? before : client;
          });
    return { ...inbound, settings: { ...settings, clients: clients ?? [] } };
  });
}

function hasSameCredential(one: XrayClient, other: XrayClient): boolean {
  return one.id === other.id && one.password === other.password && one.auth === other.auth;
}
