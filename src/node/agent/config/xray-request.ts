import { create } from "@bufbuild/protobuf";
import type { XrayServiceConfig } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { type User, UserSchema } from "../../../../gen/service/node_pb.ts";
import type { StartRequest } from "../../engines/engine.ts";
import { ConfigInvalid } from "./failure.ts";

/**
 * What Xray is started with for a service of Core's config. Users of protocols whose users can change while Xray runs are
 * taken out of the inbounds, and come as the engine's users. Throws {@link ConfigInvalid}.
 */
export function xrayRequest(service: XrayServiceConfig): StartRequest {
  const inbounds = objects(parse(service.inbounds, "inbounds"), "inbounds");
  const outbounds = objects(parse(service.outbounds, "outbounds"), "outbounds");
  const routing = object(parse(service.routing || "{}", "routing"), "routing");
  const extra = object(parse(service.extra || "{}", "extra"), "extra");
  const misplaced = Object.keys(extra).find((section) => notExtra.has(section.toLowerCase()));
  if (misplaced !== undefined) throw new ConfigInvalid(`services.xray.extra must not have the section ${misplaced}`);
  const users: User[] = [];
  const emptied = inbounds.map((inbound, index) => {
    const path = `inbounds[${index}]`;
    const tag = text(inbound.tag, `${path}.tag`);
    if (tag === "") throw new ConfigInvalid(`services.xray.${path}.tag is missing`);
    const settings = object(inbound.settings ?? {}, `${path}.settings`);
    const credentials = credentialsOf.get(text(inbound.protocol, `${path}.protocol`));
    if (credentials === undefined) return inbound;
    const { clients = [], ...rest } = settings;
    for (const [place, client] of objects(clients, `${path}.settings.clients`).entries()) {
      const email = text(client.email, `${path}.settings.clients[${place}].email`);
      users.push(create(UserSchema, { email, inbounds: [tag], proxies: credentials(client, settings) }));
    }
    return { ...inbound, settings: { ...rest, clients: [] } };
  });
  // With them Xray counts no user of Hysteria.
  const counted = inbounds.some(({ protocol }) => protocol === "hysteria") ? extra : withInboundCounters(extra);
  return {
    config: JSON.stringify({ ...counted, inbounds: emptied, outbounds, routing }),
    users,
    excludeInbounds: [],
  };
}

/** Core compares inbounds with their users, unless the policy says otherwise. */
function withInboundCounters(extra: Json): Json {
  const policyName = nameIn(extra, "policy");
  const policy = object(extra[policyName] ?? {}, "extra.policy");
  const systemName = nameIn(policy, "system");
  const system = object(policy[systemName] ?? {}, "extra.policy.system");
  const counters = { statsInboundUplink: true, statsInboundDownlink: true };
  return { ...extra, [policyName]: { ...policy, [systemName]: { ...counters, ...system } } };
}

/** How an object spells a name: Xray reads them in any case. */
function nameIn(json: Json, name: string): string {
  return Object.keys(json).find((each) => each.toLowerCase() === name) ?? name;
}

type Json = Readonly<Record<string, unknown>>;
type Credentials = NonNullable<Parameters<typeof create<typeof UserSchema>>[1]>["proxies"];

/** What stands elsewhere in the service, or is the agent's own. */
const notExtra = new Set(["inbounds", "outbounds", "routing", "api", "stats", "log"]);

/** By Xray's name of the protocol: what of a client is its credential. What is no text is left to the engine to refuse. */
const credentialsOf = new Map<string, (client: Json, settings: Json) => Credentials>([
  ["vless", ({ id, flow }) => ({ vless: { id: textOr(id), flow: textOr(flow) } })],
  ["vmess", ({ id }) => ({ vmess: { id: textOr(id) } })],
  ["trojan", ({ password }) => ({ trojan: { password: textOr(password) } })],
  [
    "shadowsocks",
    ({ password, method }, settings) => ({
      shadowsocks: { password: textOr(password), method: textOr(method) || textOr(settings.method) },
    }),
  ],
  ["hysteria", ({ auth }) => ({ hysteria: { auth: textOr(auth) } })],
]);

function parse(json: string, path: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new ConfigInvalid(`services.xray.${path} is not JSON: ${error instanceof Error ? error.message : error}`);
  }
}

function object(value: unknown, path: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw new ConfigInvalid(`services.xray.${path} must be an object`);
}

function objects(value: unknown, path: string): Json[] {
  if (!Array.isArray(value)) throw new ConfigInvalid(`services.xray.${path} must be a list`);
  return value.map((item, index) => object(item, `${path}[${index}]`));
}

function text(value: unknown, path: string): string {
  if (value === undefined) return "";
  if (typeof value !== "string") throw new ConfigInvalid(`services.xray.${path} must be a string`);
  return value;
}

function textOr(value: unknown): string {
  return typeof value === "string" ? value : "";
}
