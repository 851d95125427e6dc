import { resolve } from "node:path";
import { ConfigRefused } from "../engine-error.ts";
import {
  asObject,
  dropField,
  ensureObject,
  ensureObjects,
  getField,
  type Json,
  type JsonObject,
  objectField,
  setField,
  stringField,
} from "./json-object.ts";
import type { LogPaths } from "./log-files.ts";

/** The tag of the inbound through which the node speaks to Xray. */
export const apiInboundTag = "API_INBOUND";

/**
 * Everything that Xray logs goes to its stdout, which the node reads. What the admin switched off stays off. Returns
 * the files that the admin wanted, for the node to write.
 */
export function patchLog(root: JsonObject): LogPaths {
  if (getField(root, "log") === undefined) setField(root, "log", { loglevel: "info" });
  const log = ensureObject(root, "log", "log");
  const takePath = (name: string) => {
    const path = stringField(log, name, `log.${name}`);
    if (path === "none") return undefined;
    setField(log, name, "");
    return path === "" ? undefined : resolve(path);
  };
  return { access: takePath("access"), error: takePath("error") };
}

/** What decides on how traffic is counted. */
interface CountingNeeds {
  /** The node needs to know who is online. */
  readonly online: boolean;
  /** There is an inbound of Hysteria. */
  readonly hysteria: boolean;
}

/**
 * Counts the traffic of users and outbounds. Inbounds are counted when the admin says so, and so is who is online,
 * unless the node needs it. Returns what the admin should know of it, in sentences.
 */
export function patchCounting(root: JsonObject, { online, hysteria }: CountingNeeds): string[] {
  setField(root, "stats", {});
  const policy = ensureObject(root, "policy", "policy");
  const levels = ensureObject(policy, "levels", "policy.levels");
  const level = levels["0"] == null ? {} : asObject(levels["0"], 'policy.levels["0"]');
  levels["0"] = level;
  setField(level, "statsUserUplink", true);
  setField(level, "statsUserDownlink", true);
  if (online) setField(level, "statsUserOnline", true);
  const system = ensureObject(policy, "system", "policy.system");
  setField(system, "statsOutboundUplink", true);
  setField(system, "statsOutboundDownlink", true);
  // Around a connection that it counts for the inbound, Xray does not see Hysteria's user any more.
  if (!hysteria || !inboundCounters.some((name) => getField(system, name) === true)) return [];
  for (const name of inboundCounters) setField(system, name, false);
  return [
    "the traffic of inbounds is not counted, though policy.system says so: with it Xray counts no user of Hysteria",
  ];
}

const inboundCounters = ["statsInboundUplink", "statsInboundDownlink"];

/**
 * Opens Xray's API on a unix socket and returns the inbound that leads there. An inbound does it in every version;
 * `api.listen` takes a path only since 26.5.3. Must come after the routing is patched.
 */
export function patchApi(root: JsonObject, socketPath: string): JsonObject {
  const api = ensureObject(root, "api", "api");
  const tag = stringField(api, "tag", "api.tag") || "API";
  const services = getField(api, "services") ?? [];
  if (!Array.isArray(services)) throw new ConfigRefused("api.services must be a list");
  const observed = isObserved(root);
  const offered = [...neededServices, "ReflectionService", ...(observed ? ["ObservatoryService"] : [])];
  const wanted = new Set(services.map((service) => String(service).toLowerCase()));
  if (observed) wanted.add("observatoryservice");
  setField(api, "tag", tag);
  // Without an observatory ObservatoryService crashes Xray.
  setField(
    api,
    "services",
    offered.filter((service) => neededServices.includes(service) || wanted.has(service.toLowerCase())),
  );
  // With an address of its own the API cannot be routed to.
  dropField(api, "listen");

  const outbounds = ensureObjects(root, "outbounds", "outbounds");
  const taken = outbounds.findIndex((outbound) => getField(outbound, "tag") === tag);
  if (taken >= 0) throw new ConfigRefused(`outbounds[${taken}].tag "${tag}" is the tag of the API`);
  // Without any outbound the API itself becomes the default one, open to every user.
  if (outbounds.length === 0) setField(root, "outbounds", [{ protocol: "blackhole" }]);

  const routing = ensureObject(root, "routing", "routing");
  const rules = ensureObjects(routing, "rules", "routing.rules");
  setField(routing, "rules", [{ type: "field", inboundTag: [apiInboundTag], outboundTag: tag }, ...rules]);
  return {
    tag: apiInboundTag,
    listen: `${socketPath},0600`,
    protocol: "dokodemo-door",
    // Without the network named 26.3.27 opens nothing, and says nothing.
    settings: { address: "127.0.0.1", port: 1, network: "tcp,unix" },
  };
}

/** Whether outbounds are measured. */
export function isObserved(root: JsonObject): boolean {
  return ["observatory", "burstObservatory"].some((name) => getField(root, name) !== undefined);
}

const neededServices = ["HandlerService", "LoggerService", "StatsService", "RoutingService"];

/** Takes outbounds that lead nowhere out of what is observed: they would be reported dead. */
export function patchObservatories(root: JsonObject): void {
  const idle: ReadonlySet<Json> = idleOutbounds(root);
  for (const name of ["observatory", "burstObservatory"]) {
    const observatory = objectField(root, name, name);
    const selectors = observatory && getField(observatory, "subjectSelector");
    if (observatory === undefined || !Array.isArray(selectors)) continue;
    const kept = selectors.filter((selector) => !idle.has(selector));
    setField(observatory, "subjectSelector", kept);
  }
}

/** The tags of outbounds that lead nowhere. */
export function idleOutbounds(root: JsonObject): Set<string> {
  const idle = ensureObjects(root, "outbounds", "outbounds").filter((outbound) =>
    idleProtocols.includes(String(getField(outbound, "protocol")).toLowerCase()),
  );
  return new Set(idle.map((outbound) => stringField(outbound, "tag", "outbounds[].tag")));
}

const idleProtocols = ["blackhole", "block", "dns", "loopback"];

/**
 * Makes the rules independent of geoip.dat where they name private networks, and sends domains that no resolver could
 * take to the first blackhole, if there is one.
 */
export function patchRouting(root: JsonObject): void {
  const routing = ensureObject(root, "routing", "routing");
  const rules = ensureObjects(routing, "rules", "routing.rules").filter(
    (rule) => getField(rule, "outboundTag") !== "API" && getField(rule, "ruleTag") !== malformedDomainGuard,
  );
  rules.forEach(withoutGeoFiles);
  const blackholes = ensureObjects(root, "outbounds", "outbounds")
    .filter((outbound) => ["blackhole", "block"].includes(String(getField(outbound, "protocol")).toLowerCase()))
    .map((outbound) => stringField(outbound, "tag", "outbounds[].tag"))
    .filter((tag) => tag !== "");
  const [blackhole] = blackholes.sort();
  if (blackhole !== undefined) {
    rules.unshift({
      type: "field",
      domain: ["regexp:^.{254,}$", "regexp:[^.]{64,}"],
      outboundTag: blackhole,
      ruleTag: malformedDomainGuard,
    });
  }
  setField(routing, "rules", rules);
}

/** The name of the rule that catches domains that no resolver could take. */
export const malformedDomainGuard = "PG_NODE_MALFORMED_DOMAIN_GUARD";

/** Names private networks in a rule by their addresses instead of by geoip.dat. */
export function withoutGeoFiles(rule: JsonObject): void {
  for (const name of ["ip", "source", "sourceIP", "localIP"]) {
    const addresses = getField(rule, name);
    const list = typeof addresses === "string" ? addresses.split(",") : addresses;
    if (Array.isArray(list)) setField(rule, name, list.flatMap(withoutGeoFile));
  }
}

function withoutGeoFile(address: Json): Json[] {
  const isPrivate = typeof address === "string" && address.trim().toLowerCase() === "geoip:private";
  return isPrivate ? privateNetworks : [address];
}

const privateNetworks = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/4",
  "240.0.0.0/4",
  "::/128",
  "::1/128",
  "fc00::/7",
  "fe80::/10",
];
