import { StatsService } from "../../../../gen/xray/app/stats/command/command_pb.ts";
import type { OnlineAddresses } from "../engine.ts";
import { EngineUnreachable } from "../engine-error.ts";
import { type XrayApi, XrayRefusal } from "./api.ts";

/**
 * Where a user is connected from. Undefined for one who never was, or where the policy does not count them. Xray never
 * counts addresses of the loopback interface.
 */
export async function readOnline(api: XrayApi, email: string): Promise<OnlineAddresses | undefined> {
  try {
    const name = `user>>>${email}>>>online`;
    const { ips } = await api.call(StatsService.method.getStatsOnlineIpList, { name }, 3_000);
    return ips;
  } catch (error) {
    if (!(error instanceof XrayRefusal)) throw error;
    if (error.message.endsWith(" not found.")) return undefined;
    throw new EngineUnreachable(error.message);
  }
}
