import { isIP } from "node:net";
import {
  type MtProtoInbound,
  MtProtoMode,
  type MtProtoServiceConfig,
  type MtProtoUser,
} from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { SkippedUser } from "../engine.ts";
import { ConfigRefused } from "../engine-error.ts";
import { readSettings, type Settings } from "./settings.ts";

/** An inbound that telemt can run. */
export interface InboundConfig {
  /** The id of the node protocol, which names the inbound. */
  readonly id: string;
  /** An IP address; undefined: all addresses. */
  readonly listen: string | undefined;
  readonly port: number;
  readonly modes: ReadonlySet<MtProtoMode>;
  readonly tlsDomains: readonly string[];
  readonly settings: Settings;
  /** By link UUID, sorted by it. */
  readonly users: ReadonlyMap<string, MtProtoUser>;
}

/** What was read of a config. */
export interface ReadConfig {
  /** By id. */
  readonly inbounds: ReadonlyMap<string, InboundConfig>;
  /** Users who cannot be let in: telemt never sees them. */
  readonly skipped: readonly SkippedUser[];
}

/** How a user of an inbound is named outside of telemt, which knows the link UUID only. */
export function emailOf(inbound: string, linkUuid: string): string {
  return `${inbound}.${linkUuid}`;
}

/** Reads a config. Throws {@link ConfigRefused}, which names the inbound, when there is one that cannot be run. */
export function readConfig({ inbounds }: MtProtoServiceConfig): ReadConfig {
  const skipped: SkippedUser[] = [];
  const read = new Map<string, InboundConfig>();
  const ports = new Set<number>();
  for (const each of inbounds) {
    const inbound = readInbound(each, skipped);
    if (read.has(inbound.id)) throw refused(inbound.id, "there is another one with its id");
    if (ports.has(inbound.port)) throw refused(inbound.id, `another one has its port ${inbound.port}`);
    read.set(inbound.id, inbound);
    ports.add(inbound.port);
  }
  return { inbounds: read, skipped };
}

function readInbound(inbound: MtProtoInbound, skipped: SkippedUser[]): InboundConfig {
  const { nodeProtocolId, listen, port, tlsDomains } = inbound;
  const id = `${nodeProtocolId}`;
  const modes = new Set(inbound.modes);
  if (nodeProtocolId <= 0n) throw refused(id, "its id is not positive");
  if (listen !== "" && isIP(listen) === 0) throw refused(id, `${JSON.stringify(listen)} is not an IP address`);
  if (port < 1 || port > 65_535) throw refused(id, `${port} is not a port`);
  if (modes.size === 0) throw refused(id, "it has no mode");
  for (const mode of modes) if (!knownModes.has(mode)) throw refused(id, `mode ${mode} is unknown`);
  if (modes.has(MtProtoMode.TLS) && tlsDomains.length === 0) throw refused(id, "mode tls needs a domain");
  const bad = tlsDomains.find((domain) => !domainPattern.test(domain));
  if (bad !== undefined) throw refused(id, `${JSON.stringify(bad)} is not a domain`);
  const settings = readSettings(inbound.settings, (reason) => refused(id, reason));
  const users = readUsers(id, inbound.users, skipped);
  return { id, listen: listen === "" ? undefined : listen, port, modes, tlsDomains, settings, users };
}

function readUsers(
  inbound: string,
  users: readonly MtProtoUser[],
  skipped: SkippedUser[],
): ReadonlyMap<string, MtProtoUser> {
  const read = new Map<string, MtProtoUser>();
  const secrets = new Set<string>();
  for (const user of users.toSorted(byLinkUuid)) {
    const secret = user.secret.toLowerCase();
    const reason = whyUnusable(user) ?? (read.has(user.linkUuid) ? "the link is there twice" : undefined);
    // telemt knows users by their secrets: whose traffic it is would be a matter of luck.
    const why = reason ?? (secrets.has(secret) ? "the secret is another link's" : undefined);
    if (why !== undefined) {
      skipped.push({ email: emailOf(inbound, user.linkUuid), inbound, reason: why });
      continue;
    }
    read.set(user.linkUuid, { ...user, secret });
    secrets.add(secret);
  }
  return read;
}

function whyUnusable(user: MtProtoUser): string | undefined {
  if (!uuidPattern.test(user.linkUuid)) return "the link is not a UUID in lower case";
  if (!/^[0-9a-f]{32}$/i.test(user.secret)) return "the secret is not 32 hex digits";
  if (user.uploadBitsPerSecond < 0n || user.downloadBitsPerSecond < 0n) return "a speed is negative";
  return undefined;
}

function byLinkUuid(a: MtProtoUser, b: MtProtoUser): number {
  return a.linkUuid < b.linkUuid ? -1 : a.linkUuid > b.linkUuid ? 1 : 0;
}

function refused(id: string, reason: string): ConfigRefused {
  return new ConfigRefused(`MTProto inbound ${id}: ${reason}`);
}

const knownModes: ReadonlySet<MtProtoMode> = new Set([MtProtoMode.CLASSIC, MtProtoMode.SECURE, MtProtoMode.TLS]);
const domainPattern = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/i;
const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
