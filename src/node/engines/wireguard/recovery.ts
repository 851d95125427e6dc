import { incarnationOf, lastRecorded, stillRuns } from "../process/process-record.ts";
import type { HostRouting } from "./host/host-routing.ts";
import type { KeptPlan, Plan } from "./kept-plan.ts";
import type { LiveInterface } from "./live-interface.ts";
import { removeLeftTunnels, type Tunnel, type TunnelOptions, takeOverTunnel } from "./tunnel.ts";

/** Options of {@link recoverInterface}. */
export interface RecoveryOptions {
  /** What was kept, if anything. */
  readonly kept: KeptPlan | undefined;
  /** How the interface of a plan is made and found. */
  readonly tunnelOf: (plan: Plan) => TunnelOptions;
  readonly liveOn: (tunnel: Tunnel, plan: Plan) => LiveInterface;
  /** What every interface of this node has in common. */
  readonly own: Pick<TunnelOptions, "record" | "owner" | "tools">;
  readonly routing: Pick<HostRouting, "recover">;
  readonly say: (note: string) => void;
  /** What an earlier process of this node has left is gone: nobody has read what it counted last. */
  readonly vanished: ((incarnation: string) => void) | undefined;
}

/**
 * The interface that an earlier process of this node has left, if it is that of what was kept, and answers; it holds what
 * the plan has. Any other that it has left is ended, and what routes its packets taken away.
 */
export async function recoverInterface(options: RecoveryOptions): Promise<LiveInterface | undefined> {
  const { kept, own, routing, say, vanished } = options;
  const live = kept && (await takeOver(kept, options));
  if (live !== undefined) return live;
  const left = await lastRecorded(own.record);
  // What it counted since somebody looked last is lost with it.
  if (left !== undefined) vanished?.(incarnationOf(left));
  if (left !== undefined && stillRuns(left))
    say(`ends the wireguard-go that the last run has left, process ${left.pid}`);
  await routing.recover();
  await removeLeftTunnels(own);
  return undefined;
}

async function takeOver(
  { plan, counters, ...kept }: KeptPlan,
  { tunnelOf, liveOn, say }: RecoveryOptions,
): Promise<LiveInterface | undefined> {
  try {
    const tunnel = await takeOverTunnel(tunnelOf(plan));
    if (tunnel === undefined) return undefined;
    const live = liveOn(tunnel, plan);
    try {
      live.traffic.counters.restore(counters);
      await live.refurnish(kept);
    } catch (error) {
      tunnel.leave();
      throw error;
    }
    say(`goes on with the interface ${plan.config.interfaceName} that the last run has left`);
    return live;
  } catch (error) {
    say(`cannot go on with the interface that the last run has left: ${error}`);
    return undefined;
  }
}
