import { create } from "@bufbuild/protobuf";
import type { WireGuardServiceConfig } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { UserSchema } from "../../../../gen/service/node_pb.ts";
import type { StartRequest } from "../../engines/engine.ts";
import { ConfigInvalid } from "./failure.ts";

/**
 * What WireGuard is started with for a service of Core's config, which has an interface: the documented config of the
 * engine, and its users. What the engine would put a usual value for has to be said. Throws {@link ConfigInvalid}.
 */
export function wireGuardRequest({ inbounds }: WireGuardServiceConfig): StartRequest {
  const [inbound, another] = inbounds;
  if (inbound === undefined) throw new ConfigInvalid("services.wireguard.inbounds is empty");
  if (another !== undefined) {
    throw new ConfigInvalid(
      `services.wireguard.inbounds has ${inbounds.length} interfaces, ${inbounds.map(({ tag }) => tag).join(", ")}: ` +
        "a node runs one at most",
    );
  }
  const { nodeProtocolId, tag, port, privateKey, addresses, preSharedKey, users } = inbound;
  if (tag === "") throw new ConfigInvalid("services.wireguard.inbounds[0].tag is missing");
  if (port === 0) throw new ConfigInvalid("services.wireguard.inbounds[0].port is missing");
  const config = {
    ...{ interface_name: tag, listen_port: port, address: addresses },
    ...{ private_key: privateKey, pre_shared_key: preSharedKey },
  };
  return {
    config: JSON.stringify(config),
    users: users.map(({ linkUuid, publicKey, peerIps }) =>
      create(UserSchema, {
        ...{ email: `${nodeProtocolId}.${linkUuid}`, inbounds: [tag] },
        proxies: { wireguard: { publicKey, peerIps } },
      }),
    ),
    excludeInbounds: [],
  };
}
