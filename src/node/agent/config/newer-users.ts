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
  const { services } = newer;
  if (xray !== undefined)
    xray.inbounds = JSON.stringify(
      withXrayUsers(inboundsIn(xray.inbounds), inboundsIn(services?.xray?.inbounds), isLink),
    );
  for (const inbound of mtproto?.inbounds ?? []) {
    const users = usersFor(inbound, services?.mtproto?.inbounds);
    inbound.users = users ?? inbound.users.filter(({ linkUuid }) => isLink(linkUuid));
  }
  for (const inbound of wireguard?.inbounds ?? []) {
    const users = usersFor(inbound, services?.wireguard?.inbounds);
    inbound.users = users
      ? keepingSame(inbound.users, users, ({ linkUuid, publicKey }) => `${linkUuid} ${publicKey}`)
      : inbound.users.filter(({ linkUuid }) => isLink(linkUuid));
  }
  return config;
}

/** The users that the inbound of the same protocol of a node has there. Undefined: there is none. */
function usersFor<User>(
  { nodeProtocolId }: { readonly nodeProtocolId: bigint },
  inbounds: readonly { readonly nodeProtocolId: bigint; readonly users: User[] }[] = [],
): User[] | undefined {
  return inbounds.find((inbound) => inbound.nodeProtocolId === nodeProtocolId)?.users;
}

/** The newer users; those of whom the older ones have the same, as the older ones have them. */
function keepingSame<User>(older: readonly User[], newer: readonly User[], identityOf: (user: User) => string): User[] {
  const known = new Map(older.map((user) => [identityOf(user), user]));
  return newer.map((user) => known.get(identityOf(user)) ?? user);
}

function withXrayUsers(
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
    const before = settings?.clients ?? [];
    const clients =
      counterpart === undefined
        ? before.filter(isStill)
        : keepingSame(before, counterpart.settings?.clients ?? [], identityOf);
    return { ...inbound, settings: { ...settings, clients } };
  });
}

function identityOf({ email, id, password, auth }: XrayClient): string {
  return JSON.stringify([email, id, password, auth]);
}
