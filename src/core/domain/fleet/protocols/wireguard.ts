import { isIP } from "node:net";
import { type AddressPool, isPool, isRange, rangeText, readPool } from "../../wireguard/address-pool.ts";
import { isWireGuardKey, makePrivateKey, makeSharedKey, publicKeyOf } from "../../wireguard/wireguard-keys.ts";
import type { JsonObject } from "../json-object.ts";
import { type Random, randomUniqueLocal } from "../random.ts";
import { refuse } from "./refuse.ts";

/**
 * Checks the settings of WireGuard, and fills in what is absent: a private key, a range of IPv4 and one of IPv6, and
 * what clients are told. Keys and ranges that are absent are those of `before`, where it has them: users have files with
 * them, and nobody could connect any more.
 */
export function completeWireGuard(changed: JsonObject, random: Random, before: JsonObject): JsonObject {
  for (const name of Object.keys(changed)) {
    if (!members.includes(name)) refuse(name, `is none of ${members.join(", ")}`);
  }
  const given = { ...keptOf(before), ...changed };
  const { privateKey = "", preSharedKey = "", mtu } = given;
  if (privateKey !== "" && !isWireGuardKey(privateKey)) {
    refuse("privateKey", "is not 32 bytes in base64, as `wg genkey` makes it; leave it out to have it made");
  }
  if (preSharedKey !== "" && preSharedKey !== true && !isWireGuardKey(preSharedKey)) {
    refuse("preSharedKey", "is neither 32 bytes in base64, as `wg genpsk` makes it, nor true to have it made");
  }
  if (mtu !== undefined && !isWhole(mtu, 1_280, 65_535)) refuse("mtu", "is no whole number from 1280 to 65535");
  const { persistentKeepalive = 25 } = given;
  if (!isWhole(persistentKeepalive, 0, 65_535)) {
    refuse("persistentKeepalive", "is no whole number of seconds from 0 to 65535");
  }
  const pool = checkedPool(given.addressPools === undefined ? usualPools(random) : textsIn(given, "addressPools"));
  return {
    privateKey: privateKey || makePrivateKey(random),
    ...(preSharedKey !== "" && { preSharedKey: preSharedKey === true ? makeSharedKey(random) : preSharedKey }),
    addressPools: pool.ranges.map(rangeText),
    dns: given.dns === undefined ? usualDns(pool) : checkedDns(textsIn(given, "dns")),
    ...(mtu !== undefined && { mtu }),
    allowedIps: checkedRanges(given.allowedIps === undefined ? everywhere : textsIn(given, "allowedIps")),
    persistentKeepalive,
  };
}

/** The public key that clients of an interface need; empty where the settings have no private one. */
export function wireGuardPublicKey({ privateKey }: JsonObject): string {
  return isWireGuardKey(privateKey) ? publicKeyOf(privateKey) : "";
}

/** The pool of settings that were completed; undefined where they have none. */
export function poolOf({ addressPools }: JsonObject): AddressPool | undefined {
  if (!Array.isArray(addressPools) || !addressPools.every((text) => typeof text === "string")) return undefined;
  const read = readPool(addressPools);
  return isPool(read) ? read : undefined;
}

const members = ["privateKey", "preSharedKey", "addressPools", "dns", "mtu", "allowedIps", "persistentKeepalive"];
const everywhere = ["0.0.0.0/0", "::/0"];

function keptOf(before: JsonObject): JsonObject {
  const kept = ["privateKey", "preSharedKey", "addressPools"].filter((name) => Object.hasOwn(before, name));
  return Object.fromEntries(kept.map((name) => [name, before[name]]));
}

function usualPools(random: Random): string[] {
  return ["10.66.0.0/16", randomUniqueLocal(random)];
}

/** Without a resolver that is reached through the tunnel, many devices go on asking one that is not. */
function usualDns({ ranges }: AddressPool): string[] {
  return ranges.flatMap(({ family }) => (family === "ipv4" ? ["1.1.1.1", "1.0.0.1"] : ["2606:4700:4700::1111"]));
}

function checkedPool(given: readonly string[]): AddressPool {
  const read = readPool(given);
  if (isPool(read)) return read;
  return refuse(given.length === 0 ? "addressPools" : `addressPools[${read.index}]`, read.reason);
}

function checkedDns(given: readonly string[]): readonly string[] {
  for (const [index, address] of given.entries()) {
    if (isIP(address) === 0 || address.includes("%")) refuse(`dns[${index}]`, "is no IP address");
  }
  return given;
}

function checkedRanges(given: readonly string[]): readonly string[] {
  if (given.length === 0) refuse("allowedIps", "is empty: nothing would go through the tunnel");
  for (const [index, range] of given.entries()) {
    if (!isRange(range)) refuse(`allowedIps[${index}]`, "is no range, such as 0.0.0.0/0");
  }
  return given;
}

function textsIn(given: JsonObject, name: string): string[] {
  const value = given[name];
  // A few are enough for everybody, and all of them stand in each user's config.
  if (Array.isArray(value) && value.length <= 64 && value.every((element) => typeof element === "string")) return value;
  return refuse(name, "is no list of at most 64 strings");
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
}
