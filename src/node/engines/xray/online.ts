import { StatsService } from "../../../../gen/xray/app/stats/command/command_pb.ts";
import type { OnlineAddresses } from "../engine.ts";
import { EngineUnreachable } from "../engine-error.ts";
import { canonicalAddress } from "../sockets/ss-output.ts";
import { type XrayApi, XrayRefusal } from "./api.ts";

/**
 * Where a user is connected from. Undefined for one who never was, or where the policy does not count them. Xray never
 * counts addresses of the loopback interface.
 */
export async function readOnline(api: XrayApi, email: string): Promise<OnlineAddresses | undefined> {
  try {
    const { ips } = await api.call(StatsService.method.getStatsOnlineIpList, { name: nameOf(email) }, 3_000);
    return ips;
  } catch (error) {
    if (!(error instanceof XrayRefusal)) throw error;
    if (error.message.endsWith(" not found.")) return undefined;
    throw new EngineUnreachable(error.message);
  }
}

/** The e-mails of all who are online. Undefined when this Xray does not tell. */
export async function readAllOnline(api: XrayApi): Promise<Set<string> | undefined> {
  try {
    const { users } = await api.call(StatsService.method.getAllOnlineUsers, {}, 3_000);
    return new Set(users.map((name) => name.slice(prefix.length, -suffix.length)));
  } catch (error) {
    if (error instanceof EngineUnreachable && error.message.includes("unknown method")) return undefined;
    throw error;
  }
}

/** Where these users are connected from, in the one spelling that addresses have here. Who is not online is left out. */
export async function readAddresses(api: XrayApi, emails: Iterable<string>): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  const rest = emails[Symbol.iterator]();
  const work = async () => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) {
      const addresses = Object.keys((await readOnline(api, next.value)) ?? {});
      if (addresses.length > 0) found.set(next.value, addresses.map(canonicalAddress));
    }
  };
  await Promise.all(Array.from({ length: parallelCalls }, work));
  return found;
}

/** Calls in flight at once: more gain nothing. */
const parallelCalls = 64;

const [prefix, suffix] = ["user>>>", ">>>online"];

function nameOf(email: string): string {
  return `${prefix}${email}${suffix}`;
}
