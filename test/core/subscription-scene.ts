import { NodeProtocolService } from "../../gen/garrison/core/v1/node_protocols_pb.ts";
import { NodeService } from "../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionService } from "../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UserService } from "../../gen/garrison/core/v1/users_pb.ts";
import { VpnProtocol } from "../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { given } from "./fleet/scene.ts";
import { type CoreScene, openCoreScene } from "./scene.ts";
import type { Engine } from "./shared-database.ts";

/** A Core with a node that has a protocol of every kind, for tests of what subscription links lead to. */
export interface SubscriptionScene extends CoreScene {
  readonly nodeId: bigint;
  /** Makes a user with a subscription. */
  subscribe(more?: object, userName?: string): Promise<MadeSubscription>;
  /** Asks Core as a program of which nothing is known. */
  get(path: string, headers?: Readonly<Record<string, string>>, method?: string): Promise<Response>;
  /** The links that a subscription has now. */
  linksOf(subscription: MadeSubscription): Promise<string[]>;
}

/** A subscription that was made. */
export interface MadeSubscription {
  readonly id: bigint;
  readonly userId: bigint;
  readonly token: string;
  readonly url: string;
  /** Of the link. */
  readonly path: string;
}

/** Makes one. */
export async function openSubscriptionScene(engine: Engine): Promise<SubscriptionScene> {
  const scene = await openCoreScene(engine);
  const { call } = scene;
  const node = { name: "fra-1", host: "fra-1.example.org" };
  const nodeId = given((await call(NodeService.method.createNode, node)).node).id;
  for (const [index, [protocol, settings]] of inbounds.entries()) {
    const request = { nodeId, protocol, port: 20_000 + index, settings: JSON.stringify(settings) };
    await call(NodeProtocolService.method.createNodeProtocol, request);
  }
  let users = 0;
  const get: SubscriptionScene["get"] = (path, headers = {}, method = "GET") =>
    fetch(scene.core.url + path, { method, headers: { "user-agent": "curl/8", accept: "*/*", ...headers } });
  return {
    ...scene,
    nodeId,
    get,
    linksOf: async ({ path }) => (await (await get(`${path}?format=plain`)).text()).split("\n").slice(0, -1),
    async subscribe(more = {}, userName) {
      users += 1;
      const { user } = await call(UserService.method.createUser, { name: userName ?? `user-${users}` });
      const userId = given(user).id;
      const made = await call(SubscriptionService.method.createSubscription, { userId, ...more });
      const { token, url } = made;
      return { id: given(made.subscription).id, userId, token, url, path: `/sub/${token}` };
    },
  };
}

const inbounds: readonly [VpnProtocol, object][] = [
  [
    VpnProtocol.VLESS,
    {
      settings: { flow: "xtls-rprx-vision" },
      streamSettings: {
        network: "raw",
        security: "reality",
        realitySettings: {
          target: "www.example.com:443",
          serverNames: ["www.example.com"],
          shortIds: ["6ba85179e30d"],
        },
      },
    },
  ],
  [VpnProtocol.VMESS, { streamSettings: { network: "ws", wsSettings: { path: "/ws" } } }],
  [VpnProtocol.SHADOWSOCKS, { settings: { method: "chacha20-ietf-poly1305" } }],
  [VpnProtocol.MTPROTO, {}],
  [VpnProtocol.WIREGUARD, { preSharedKey: true }],
];
