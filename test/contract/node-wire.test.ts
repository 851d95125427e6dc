import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { file_service_node, NodeService } from "../../gen/service/node_pb.ts";

// The wire contract of existing clients: package, names, numbers and types are theirs and never change. It is written
// down here once more, so that accepting another contract does not change it by accident.

const messages: Record<string, string[]> = {
  Empty: [],
  BaseInfoResponse: [
    "bool started = 1",
    "string core_version = 2",
    "string node_version = 3",
    "bool user_sync_epoch_supported = 4",
    "uint64 user_sync_epoch = 5",
    // Ours, and absent unless the operator wants it.
    "Kick kick = 1000",
  ],
  Backend: [
    "BackendType type = 1",
    "string config = 2",
    "repeated User users = 3",
    "uint64 keep_alive = 4",
    "repeated string exclude_inbounds = 5",
    "uint64 user_sync_epoch = 6",
  ],
  User: ["string email = 1", "Proxy proxies = 2", "repeated string inbounds = 3", "uint64 user_sync_epoch = 4"],
  Proxy: [
    "Vmess vmess = 1",
    "Vless vless = 2",
    "Trojan trojan = 3",
    "Shadowsocks shadowsocks = 4",
    "Wireguard wireguard = 5",
    "Hysteria hysteria = 6",
    "Masque masque = 7",
  ],
  Vmess: ["string id = 1"],
  Vless: ["string id = 1", "string flow = 2"],
  Trojan: ["string password = 1"],
  Shadowsocks: ["string password = 1", "string method = 2"],
  Wireguard: ["string public_key = 1", "repeated string peer_ips = 2"],
  Hysteria: ["string auth = 1"],
  Masque: ["string pass = 1"],
  Users: ["repeated User users = 1", "uint64 user_sync_epoch = 2"],
  UsersChunk: ["repeated User users = 1", "uint64 index = 2", "bool last = 3", "uint64 user_sync_epoch = 4"],
  Log: ["string detail = 1"],
  StatRequest: ["string name = 1", "bool reset = 2", "StatType type = 3"],
  Stat: ["string name = 1", "string type = 2", "string link = 3", "int64 value = 4"],
  StatResponse: ["repeated Stat stats = 1"],
  OnlineStatResponse: ["string name = 1", "int64 value = 2"],
  StatsOnlineIpListResponse: ["string name = 1", "map<string, int64> ips = 2"],
  LatencyRequest: ["string name = 1"],
  Latency: [
    "string name = 1",
    "bool alive = 2",
    "int64 delay = 3",
    "string link = 4",
    "int64 last_seen_time = 5",
    "int64 last_try_time = 6",
    "string source = 7",
  ],
  LatencyResponse: ["repeated Latency latencies = 1"],
  BackendStatsResponse: [
    "uint32 num_goroutine = 1",
    "uint32 num_gc = 2",
    "uint64 alloc = 3",
    "uint64 total_alloc = 4",
    "uint64 sys = 5",
    "uint64 mallocs = 6",
    "uint64 frees = 7",
    "uint64 live_objects = 8",
    "uint64 pause_total_ns = 9",
    "uint32 uptime = 10",
  ],
  SystemStatsResponse: [
    "uint64 mem_total = 1",
    "uint64 mem_used = 2",
    "uint64 cpu_cores = 3",
    "double cpu_usage = 4",
    "uint64 incoming_bandwidth_speed = 5",
    "uint64 outgoing_bandwidth_speed = 6",
    "uint64 uptime = 7",
  ],
  RoutingRule: ["string outbound_tag = 1", "string rule_tag = 2"],
  RoutingRulesResponse: ["repeated RoutingRule rules = 1"],
  BalancerInfoRequest: ["string tag = 1"],
  BalancerInfoResponse: ["string override_target = 1", "repeated string principle_target = 2"],
  TestRouteRequest: [
    "string inbound_tag = 1",
    "string network = 2",
    "string target_ip = 3",
    "string target_domain = 4",
    "uint32 target_port = 5",
    "string protocol = 6",
    "string user = 7",
    "map<string, string> attributes = 8",
    "repeated string field_selectors = 9",
    "bool publish_result = 10",
  ],
  RouteResult: [
    "string outbound_tag = 1",
    "repeated string outbound_group_tags = 2",
    "string inbound_tag = 3",
    "string network = 4",
    "string target_domain = 5",
  ],
  AddRoutingRuleRequest: ["string rule = 1", "bool should_reset = 2"],
  RemoveRoutingRuleRequest: ["string rule_tag = 1"],
  OverrideBalancerTargetRequest: ["string balancer_tag = 1", "string target = 2"],
};

const enums: Record<string, string[]> = {
  BackendType: ["XRAY = 0", "WIREGUARD = 1"],
  StatType: ["Outbounds = 0", "Outbound = 1", "Inbounds = 2", "Inbound = 3", "UsersStat = 4", "UserStat = 5"],
};

const calls = [
  "Start(Backend) returns (BaseInfoResponse)",
  "Stop(Empty) returns (Empty)",
  "GetBaseInfo(Empty) returns (BaseInfoResponse)",
  "GetLogs(Empty) returns (stream Log)",
  "GetSystemStats(Empty) returns (SystemStatsResponse)",
  "GetBackendStats(Empty) returns (BackendStatsResponse)",
  "GetStats(StatRequest) returns (StatResponse)",
  "GetOutboundsLatency(LatencyRequest) returns (LatencyResponse)",
  "GetUserOnlineStats(StatRequest) returns (OnlineStatResponse)",
  "GetUserOnlineIpListStats(StatRequest) returns (StatsOnlineIpListResponse)",
  "SyncUser(stream User) returns (Empty)",
  "SyncUsers(Users) returns (Empty)",
  "SyncUsersChunked(stream UsersChunk) returns (Empty)",
  "ListRoutingRules(Empty) returns (RoutingRulesResponse)",
  "GetBalancerInfo(BalancerInfoRequest) returns (BalancerInfoResponse)",
  "TestRoute(TestRouteRequest) returns (RouteResult)",
  "AddRoutingRule(AddRoutingRuleRequest) returns (Empty)",
  "RemoveRoutingRule(RemoveRoutingRuleRequest) returns (Empty)",
  "OverrideBalancerTarget(OverrideBalancerTargetRequest) returns (Empty)",
];

describe("the wire contract of package service", () => {
  const found = file_service_node;

  test("has its calls", () => {
    expect(NodeService.typeName).toBe("service.NodeService");
    const spelled = NodeService.methods.map(({ name, input, output, methodKind: kind }) => {
      const streams = (is: boolean, message: DescMessage) => `${is ? "stream " : ""}${message.name}`;
      const asked = streams(kind === "client_streaming", input);
      return `${name}(${asked}) returns (${streams(kind === "server_streaming", output)})`;
    });
    expect(spelled.sort()).toEqual([...calls].sort());
  });

  test("has its messages, and no others", () => {
    expect(found.messages.map(({ name }) => name).sort()).toEqual(Object.keys(messages).sort());
  });

  test.each(found.messages.map((message) => [message.name, message] as const))(
    "has the fields of %s",
    (name, { fields }) => {
      expect(fields.map(spell)).toEqual(messages[name]);
    },
  );

  test("has the values of its enums", () => {
    const spelled = found.enums.map(({ name, values }) => [
      name,
      values.map((value) => `${value.name} = ${value.number}`),
    ]);
    expect(Object.fromEntries(spelled)).toEqual(enums);
  });
});

function spell(field: DescField): string {
  const scalar = (type: ScalarType) => ScalarType[type].toLowerCase();
  const type = () => {
    if (field.fieldKind === "map") return `map<${scalar(field.mapKey)}, ${field.scalar ? scalar(field.scalar) : "?"}>`;
    const one = field.message?.name ?? field.enum?.name ?? (field.scalar ? scalar(field.scalar) : "?");
    return field.fieldKind === "list" ? `repeated ${one}` : one;
  };
  return `${type()} ${field.name} = ${field.number}`;
}
