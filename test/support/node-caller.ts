import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import {
  AddRoutingRuleRequestSchema,
  BackendSchema,
  BackendStatsResponseSchema,
  BalancerInfoRequestSchema,
  BalancerInfoResponseSchema,
  BaseInfoResponseSchema,
  EmptySchema,
  LatencyRequestSchema,
  LatencyResponseSchema,
  NodeService,
  OnlineStatResponseSchema,
  OverrideBalancerTargetRequestSchema,
  RemoveRoutingRuleRequestSchema,
  RouteResultSchema,
  RoutingRulesResponseSchema,
  StatRequestSchema,
  StatResponseSchema,
  StatsOnlineIpListResponseSchema,
  SystemStatsResponseSchema,
  TestRouteRequestSchema,
  UserSchema,
  UsersChunkSchema,
  UsersSchema,
} from "../../gen/service/node_pb.ts";
import { restRequest } from "./rest-request.ts";

/** Where a node is, and what is needed to call it. */
export interface NodeAddress {
  /** `https://127.0.0.1:<port>` */
  readonly url: string;
  readonly key: string;
  /** The node's certificate, PEM. */
  readonly ca: string;
}

type Init<Desc extends DescMessage> = MessageInitShape<Desc>;

/** The calls of a node that tests make, over any of the API's protocols. */
export interface NodeCaller {
  start(backend: Init<typeof BackendSchema>): Promise<MessageShape<typeof BaseInfoResponseSchema>>;
  stop(): Promise<unknown>;
  info(): Promise<MessageShape<typeof BaseInfoResponseSchema>>;
  syncUser(user: Init<typeof UserSchema>): Promise<unknown>;
  syncUsers(users: Init<typeof UsersSchema>): Promise<unknown>;
  syncChunked(...chunks: Init<typeof UsersChunkSchema>[]): Promise<unknown>;
  stats(request: Init<typeof StatRequestSchema>): Promise<MessageShape<typeof StatResponseSchema>>;
  backendStats(): Promise<MessageShape<typeof BackendStatsResponseSchema>>;
  systemStats(): Promise<MessageShape<typeof SystemStatsResponseSchema>>;
  online(email: string): Promise<MessageShape<typeof OnlineStatResponseSchema>>;
  onlineAddresses(email: string): Promise<MessageShape<typeof StatsOnlineIpListResponseSchema>>;
  latency(name?: string): Promise<MessageShape<typeof LatencyResponseSchema>>;
  routingRules(): Promise<MessageShape<typeof RoutingRulesResponseSchema>>;
  balancer(tag: string): Promise<MessageShape<typeof BalancerInfoResponseSchema>>;
  testRoute(request: Init<typeof TestRouteRequestSchema>): Promise<MessageShape<typeof RouteResultSchema>>;
  addRule(rule: string, shouldReset?: boolean): Promise<unknown>;
  removeRule(ruleTag: string): Promise<unknown>;
  overrideBalancer(balancerTag: string, target: string): Promise<unknown>;
}

/** A protocol of the API and how a node is called over it. */
export interface ApiProtocol {
  readonly name: string;
  caller(node: NodeAddress): NodeCaller;
}

/** gRPC, gRPC-Web, Connect and the documented REST paths. */
export const apiProtocols: readonly ApiProtocol[] = [
  { name: "gRPC", caller: (node) => rpcCaller(createGrpcTransport(transportOptions(node))) },
  {
    name: "gRPC-Web",
    caller: (node) => rpcCaller(createGrpcWebTransport({ ...transportOptions(node), httpVersion: "1.1" })),
  },
  {
    name: "Connect",
    caller: (node) => rpcCaller(createConnectTransport({ ...transportOptions(node), httpVersion: "1.1" })),
  },
  { name: "REST", caller: restCaller },
];

/** A client of a node over gRPC. */
export function grpcClient(node: NodeAddress): Client<typeof NodeService> {
  return createClient(NodeService, grpcTransport(node));
}

/** What reaches a node's services over gRPC. */
export function grpcTransport(node: NodeAddress): Transport {
  return createGrpcTransport(transportOptions(node));
}

function transportOptions({ url, key, ca }: NodeAddress) {
  return {
    baseUrl: url,
    nodeOptions: { ca },
    interceptors: [
      (next) => (request) => {
        request.header.set("x-api-key", key);
        return next(request);
      },
    ] satisfies Parameters<typeof createGrpcTransport>[0]["interceptors"],
  };
}

function rpcCaller(transport: Transport): NodeCaller {
  const client = createClient(NodeService, transport);
  return {
    start: (backend) => client.start(backend),
    stop: () => client.stop({}),
    info: () => client.getBaseInfo({}),
    syncUser: (user) => client.syncUser(streamOf([user])),
    syncUsers: (users) => client.syncUsers(users),
    syncChunked: (...chunks) => client.syncUsersChunked(streamOf(chunks)),
    stats: (request) => client.getStats(request),
    backendStats: () => client.getBackendStats({}),
    systemStats: () => client.getSystemStats({}),
    online: (name) => client.getUserOnlineStats({ name }),
    onlineAddresses: (name) => client.getUserOnlineIpListStats({ name }),
    latency: (name = "") => client.getOutboundsLatency({ name }),
    routingRules: () => client.listRoutingRules({}),
    balancer: (tag) => client.getBalancerInfo({ tag }),
    testRoute: (request) => client.testRoute(request),
    addRule: (rule, shouldReset = false) => client.addRoutingRule({ rule, shouldReset }),
    removeRule: (ruleTag) => client.removeRoutingRule({ ruleTag }),
    overrideBalancer: (balancerTag, target) => client.overrideBalancerTarget({ balancerTag, target }),
  };
}

// As the original's client calls: Bearer is what the documents promise, so REST proves that one.
function restCaller(node: NodeAddress): NodeCaller {
  const call = async <O extends DescMessage>(verb: string, path: string, output: O, body?: Uint8Array) => {
    const answer = await restRequest(node, verb, path, { authorization: `Bearer ${node.key}` }, body);
    if (answer.status !== 200) throw new RestError(answer.status, answer.text);
    return fromBinary(output, answer.body);
  };
  const encode = <Desc extends DescMessage>(desc: Desc, init: Init<Desc>) => toBinary(desc, create(desc, init));
  return {
    start: (backend) => call("POST", "/start", BaseInfoResponseSchema, encode(BackendSchema, backend)),
    stop: () => call("PUT", "/stop", EmptySchema),
    info: () => call("GET", "/info", BaseInfoResponseSchema),
    syncUser: (user) => call("PUT", "/user/sync", EmptySchema, encode(UserSchema, user)),
    syncUsers: (users) => call("PUT", "/users/sync", EmptySchema, encode(UsersSchema, users)),
    syncChunked(...chunks) {
      const frames = chunks.map((chunk) => sizeDelimitedEncode(UsersChunkSchema, create(UsersChunkSchema, chunk)));
      return call("PUT", "/users/sync/chunked", EmptySchema, Buffer.concat(frames));
    },
    stats: (request) => call("GET", "/stats", StatResponseSchema, encode(StatRequestSchema, request)),
    backendStats: () => call("GET", "/stats/backend", BackendStatsResponseSchema),
    systemStats: () => call("GET", "/stats/system", SystemStatsResponseSchema),
    online: (name) => call("GET", "/stats/user/online", OnlineStatResponseSchema, encode(StatRequestSchema, { name })),
    onlineAddresses: (name) =>
      call("GET", "/stats/user/online_ip", StatsOnlineIpListResponseSchema, encode(StatRequestSchema, { name })),
    latency: (name = "") =>
      call("GET", "/stats/latency", LatencyResponseSchema, encode(LatencyRequestSchema, { name })),
    routingRules: () => call("GET", "/routing/rules", RoutingRulesResponseSchema),
    balancer: (tag) =>
      call("POST", "/routing/balancer", BalancerInfoResponseSchema, encode(BalancerInfoRequestSchema, { tag })),
    testRoute: (request) => call("POST", "/routing/test", RouteResultSchema, encode(TestRouteRequestSchema, request)),
    addRule: (rule, shouldReset = false) =>
      call("PUT", "/routing/rules", EmptySchema, encode(AddRoutingRuleRequestSchema, { rule, shouldReset })),
    removeRule: (ruleTag) =>
      call("DELETE", "/routing/rules", EmptySchema, encode(RemoveRoutingRuleRequestSchema, { ruleTag })),
    overrideBalancer(balancerTag, target) {
      const body = encode(OverrideBalancerTargetRequestSchema, { balancerTag, target });
      return call("PUT", "/routing/balancer/override", EmptySchema, body);
    },
  };
}

/** A REST call that was not answered with 200. */
export class RestError extends Error {
  override readonly name = "RestError";
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

async function* streamOf<T>(messages: Iterable<T>): AsyncGenerator<T> {
  yield* messages;
}
