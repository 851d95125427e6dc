import { createHash, randomUUID } from "node:crypto";
import { ConfigRefused } from "../engine-error.ts";
import { type AccountKind, createAccountKinds } from "./accounts.ts";
import { type ConfigParts, partsOf } from "./config-parts.ts";
import {
  apiInboundTag,
  idleOutbounds,
  isObserved,
  patchApi,
  patchCounting,
  patchLog,
  patchObservatories,
  patchRouting,
} from "./config-sections.ts";
import {
  asObject,
  dropField,
  ensureObjects,
  getField,
  type Json,
  type JsonObject,
  objectField,
  setField,
  stringField,
} from "./json-object.ts";
import { type Listener, listenerOf, usersWrittenIn } from "./listeners.ts";
import type { LogPaths } from "./log-files.ts";
import { type RoutingState, takeRoutingState } from "./routing-state.ts";

/** An admin's config made ready to be run by this node. */
export interface XrayConfig {
  /** What it was made from. */
  readonly source: { readonly text: string; readonly excludeInbounds: readonly string[] };
  /** What the admin should know of what became of it, in sentences. */
  readonly notes: readonly string[];
  /** The same for configs that Xray would run the same way, whoever their users are. */
  readonly fingerprint: string;
  /** Inbounds whose users the node sets. Only those with a tag: others can have no users. */
  readonly inbounds: readonly UserInbound[];
  readonly inboundTags: ReadonlySet<string>;
  /** Where inbounds take connections, by their tags. */
  readonly listeners: ReadonlyMap<string, Listener>;
  /** Users of inbounds whose users the node does not set. */
  readonly writtenUsers: ReadonlySet<string>;
  readonly outboundTags: ReadonlySet<string>;
  /** Tags of outbounds that lead nowhere. */
  readonly idleOutbounds: ReadonlySet<string>;
  /** Xray measures outbounds, and tells. */
  readonly observed: boolean;
  readonly routing: RoutingState;
  /** The files that the node writes Xray's lines to. No part of what Xray runs, and not of the fingerprint. */
  readonly logPaths: LogPaths;
  /** What two configs are told apart by, users aside. */
  readonly parts: ConfigParts;
  /** Unix sockets that Xray opens, the API's among them. */
  readonly sockets: readonly string[];
  /** The document for Xray, with these clients on each inbound. In pieces: with many users it is many megabytes. */
  render(clientsOf: ClientsOf): Iterable<string>;
  /** A document of some parts alone, for Xray to read but not to run. */
  renderExtract(extract: Extract, clientsOf: ClientsOf): Iterable<string>;
  /** The same config with another routing. */
  withRouting(routing: RoutingState): XrayConfig;
}

/** The users of an inbound as they stand in a document. */
export type ClientsOf = (inbound: UserInbound) => JsonObject[];

/** What of a config is wanted: inbounds and outbounds by their tags. */
interface Extract {
  readonly inbounds: ReadonlySet<string>;
  readonly outbounds: ReadonlySet<string>;
  readonly routing: boolean;
}

/** An inbound whose users the node sets. */
export interface UserInbound {
  readonly tag: string;
  readonly kind: AccountKind;
}

/** What else shapes a config. */
export interface ConfigOptions {
  /** Tags of inbounds that stay exactly as written. */
  readonly excludeInbounds: readonly string[];
  /** Where Xray's API is opened. */
  readonly apiSocket: string;
  /** Xray counts who is online, whatever the text says. Default: no. */
  readonly countOnline?: boolean;
  /** Default: the routing of the text. */
  readonly routing?: RoutingState;
}

/**
 * Reads an admin's config: patches what the node needs (API, counters, log, routing) and keeps everything else as it
 * is, keys that nobody knows included. Throws {@link ConfigRefused}, which says what is wrong and where.
 */
export function readXrayConfig(text: string, options: ConfigOptions): XrayConfig {
  const { excludeInbounds, apiSocket } = options;
  const root = parse(text);
  const inbounds = readTagged(root, "inbounds").filter(({ tag }) => tag !== apiInboundTag);
  const outbounds = readTagged(root, "outbounds");
  const kindOf = createAccountKinds();
  const managed = inbounds.flatMap(({ object: inbound, tag, path }) => {
    if (excludeInbounds.includes(tag)) return [];
    const settings = objectField(inbound, "settings", `${path}.settings`) ?? {};
    const kind = kindOf(stringField(inbound, "protocol", `${path}.protocol`), settings);
    if (kind === undefined) return [];
    // Newer versions of Xray read the clients under this name, too.
    dropField(settings, "users");
    setField(settings, "clients", []);
    setField(inbound, "settings", settings);
    return [{ inbound, settings, users: { tag, kind } }];
  });

  const logPaths = patchLog(root);
  const hysteria = inbounds.some(({ object }) => isHysteria(object));
  const notes = patchCounting(root, { online: options.countOnline === true, hysteria });
  patchObservatories(root);
  patchRouting(root);
  const apiInbound = patchApi(root, apiSocket);
  const routing = takeRoutingState(root, options.routing);
  const written = inbounds.map(({ object }) => object);
  setField(root, "inbounds", [apiInbound, ...written]);

  const tagged = managed.map(({ users }) => users).filter(({ tag }) => tag !== "");
  const managedTags = tagged.map(({ tag }) => tag);
  const parts = refuseDeep(() =>
    partsOf(root, { inbounds, outbounds, managed: managedTags, overrides: routing.overrides }),
  );
  return {
    source: { text, excludeInbounds },
    notes,
    fingerprint: createHash("sha256").update(JSON.stringify(parts)).digest("hex"),
    parts,
    inbounds: tagged,
    inboundTags: tagsOf(inbounds),
    listeners: new Map(inbounds.map(({ tag, object }) => [tag, listenerOf(tag, object)])),
    writtenUsers: new Set(
      inbounds.flatMap(({ object }) =>
        managed.some(({ inbound }) => inbound === object) ? [] : usersWrittenIn(object),
      ),
    ),
    outboundTags: tagsOf(outbounds),
    idleOutbounds: idleOutbounds(root),
    observed: isObserved(root),
    routing,
    logPaths,
    sockets: [apiInbound, ...written].flatMap(socketOf),
    render(clientsOf) {
      return renderDocument({ ...root, inbounds: [apiInbound, ...written] }, managed, clientsOf);
    },
    renderExtract(extract, clientsOf) {
      const chosen = (list: typeof inbounds, tags: ReadonlySet<string>) =>
        list.filter(({ tag }) => tags.has(tag)).map(({ object }) => object);
      const document = {
        inbounds: chosen(inbounds, extract.inbounds),
        outbounds: chosen(outbounds, extract.outbounds),
        ...(extract.routing && { routing: getField(root, "routing") ?? {} }),
      };
      return renderDocument(document, managed, clientsOf);
    },
    withRouting: (other) => readXrayConfig(text, { ...options, routing: other }),
  };
}

/** An inbound with users in the document, and the settings in which they stand. */
interface ManagedInbound {
  readonly inbound: JsonObject;
  readonly settings: JsonObject;
  readonly users: UserInbound;
}

function* renderDocument(
  document: JsonObject & { inbounds: JsonObject[] },
  managed: readonly ManagedInbound[],
  clientsOf: ClientsOf,
): Iterable<string> {
  const mark = randomUUID();
  const marked = new Map(
    managed.map(({ inbound, settings }, index) => [
      inbound,
      { ...inbound, settings: { ...settings, clients: `${mark}-${index}` } },
    ]),
  );
  const inbounds = document.inbounds.map((inbound) => marked.get(inbound) ?? inbound);
  // The text between the marks, and the index of each mark, by turns.
  const pieces = JSON.stringify({ ...document, inbounds }).split(new RegExp(`"${mark}-(\\d+)"`));
  for (const [index, piece] of pieces.entries()) {
    if (index % 2 === 0) yield piece;
    else yield* clientsText(managed[Number(piece)]?.users, clientsOf);
  }
}

function refuseDeep<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) throw new ConfigRefused("the config is nested too deeply");
    throw error;
  }
}

/** A list of clients as JSON, some at a time. */
function* clientsText(inbound: UserInbound | undefined, clientsOf: ClientsOf): Iterable<string> {
  if (inbound === undefined) return;
  const clients = inbound.tag === "" ? [] : clientsOf(inbound);
  if (clients.length === 0 && inbound.kind.placeholder !== undefined) clients.push(inbound.kind.placeholder());
  yield "[";
  for (let start = 0; start < clients.length; start += clientsAtOnce) {
    const some = JSON.stringify(clients.slice(start, start + clientsAtOnce)).slice(1, -1);
    yield start === 0 ? some : `,${some}`;
  }
  yield "]";
}

const clientsAtOnce = 500;

function parse(text: string): JsonObject {
  let root: Json;
  try {
    root = JSON.parse(text);
  } catch (error) {
    throw new ConfigRefused(`the config is not valid JSON: ${error instanceof Error ? error.message : error}`);
  }
  return asObject(root, "the config");
}

/** The objects of a list with their tags, empty where they have none. No tag may occur twice. */
function readTagged(root: JsonObject, list: string): { object: JsonObject; tag: string; path: string }[] {
  const seen = new Set<string>();
  return ensureObjects(root, list, list).map((object, index) => {
    const path = `${list}[${index}]`;
    const tag = stringField(object, "tag", `${path}.tag`);
    if (tag !== "" && seen.has(tag)) throw new ConfigRefused(`${path}.tag "${tag}" occurs twice`);
    seen.add(tag);
    return { object, tag, path };
  });
}

function tagsOf(tagged: readonly { tag: string }[]): Set<string> {
  return new Set(tagged.map(({ tag }) => tag).filter((tag) => tag !== ""));
}

function isHysteria(inbound: JsonObject): boolean {
  const protocol = getField(inbound, "protocol");
  return typeof protocol === "string" && protocol.toLowerCase() === "hysteria";
}

/** The path of the unix socket that an inbound listens on. What follows a comma are its permissions. */
function socketOf(inbound: JsonObject): string[] {
  const listen = getField(inbound, "listen");
  const [path = ""] = typeof listen === "string" ? listen.split(",") : [];
  return path.startsWith("/") ? [path] : [];
}
