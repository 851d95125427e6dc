import { networkInterfaces } from "node:os";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Registry } from "prom-client";
import type { HeartbeatRequestSchema, HeartbeatResponse } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { ApplyStateSchema } from "../../../gen/garrison/core/v1/node_status_pb.ts";
import { bootId } from "../../platform/proc.ts";
import type { Logger } from "../../platform/telemetry/log.ts";
import type { Engine, EngineEvents } from "../engines/engine.ts";
import type { MtProtoEngine } from "../engines/mtproto/mtproto-engine.ts";
import { followKicks } from "../runtime/kick-result.ts";
import { shareRuns } from "../runtime/share-runs.ts";
import type { SystemStats } from "../runtime/system-stats.ts";
import { type AgentCounters, type AgentReadings, registerAgentMetrics } from "./agent-metrics.ts";
import { createConfigSync } from "./config/config-sync.ts";
import { createLatestSync } from "./config/latest-sync.ts";
import { type Links, ownerIn } from "./config/links.ts";
import { portsOf } from "./config/ports.ts";
import { watchConfigs } from "./config/watch.ts";
import type { Contact } from "./contact/contact.ts";
import { protocolVersion } from "./contact/core-client.ts";
import type { CoreClock } from "./contact/core-clock.ts";
import { createFaultReports } from "./contact/fault-reports.ts";
import type { EngineName } from "./engines/driven-engine.ts";
import { createDrivenMtproto } from "./engines/driven-mtproto.ts";
import { createDrivenWireGuard, type WireGuardAtHand } from "./engines/driven-wireguard.ts";
import { createDrivenXray } from "./engines/driven-xray.ts";
import { watchEngine } from "./engines/engine-watch.ts";
import { runHeartbeats } from "./heartbeat/heartbeats.ts";
import { readHostStatus } from "./heartbeat/host-status.ts";
import { createOrders } from "./heartbeat/orders.ts";
import { spoolStatus } from "./heartbeat/spool-status.ts";
import { isPublic, ownAddress } from "./own-address.ts";
import type { Pace } from "./pace.ts";
import { createSleeper } from "./sleeper.ts";
import type { KeptFault } from "./spool/kept-faults.ts";
import type { CounterGap, Spool } from "./spool/spool.ts";
import { createAddressLimits } from "./usage/address-limits.ts";
import { createCollecting, runCollecting } from "./usage/collecting.ts";
import { type Reporting, startReporting } from "./usage/reporting.ts";
import type { Sessions } from "./usage/sessions.ts";
import { createTerms } from "./usage/terms.ts";

/** The engines of the node. */
export interface DrivenEngines {
  readonly xray: Engine;
  /** Makes the engine of MTProto, when a config asks for it. Undefined: there is no telemt. */
  readonly mtproto: () => Promise<MtProtoEngine | undefined>;
  readonly wireguard: WireGuardAtHand;
  /** So many connections of Xray's users were cut. Undefined: they are left alone. */
  readonly onCut?: ((connections: number) => void) | undefined;
}

/** Engines that run what Core says. */
export interface Driving {
  /** To be told what an engine tells, by its name. */
  readonly heard: Readonly<Record<EngineName, HeardEvents>>;
  /** The node is enrolled: Core can be called from now on. */
  begin(installId: string): void;
  /** Ends it. The engines are ended in between, so that what they count last is kept. */
  close(endEngines: () => Promise<void>): Promise<void>;
}

/** What an agent hears of an engine. */
type HeardEvents = Pick<EngineEvents, "drained" | "exited" | "restarted" | "stateChanged" | "vanished">;

/** Options of {@link startDriving}. */
export interface DrivingOptions {
  readonly engines: DrivenEngines;
  readonly contact: Contact;
  readonly clock: CoreClock;
  readonly uptime: () => number;
  readonly spool: Spool;
  readonly sessions: Sessions;
  readonly pace: Pace;
  /** Bytes of subscriptions that Core does not know of yet. */
  readonly carriedBefore: ReadonlyMap<number, bigint>;
  /** What engines have lost before, and is no fault yet. */
  readonly gapsBefore: readonly CounterGap[];
  /** What went wrong before, and Core was not told of. */
  readonly faultsBefore: readonly KeptFault[];
  /** Core wants the node to have another key. */
  readonly rotateKey: () => Promise<void>;
  /** The agent's own directory. */
  readonly directory: string;
  readonly version: string;
  readonly capabilities: readonly string[];
  readonly system: Pick<SystemStats, "current">;
  readonly registry: Registry;
  readonly log: Logger;
}

/** Takes the engines over, and has them run the last good config. */
export function startDriving(options: DrivingOptions): Driving {
  const { contact, clock, uptime, spool, sessions, pace, directory, log } = options;
  const { now } = clock;
  const closing = new AbortController();
  const { signal } = closing;
  const startedAt = uptime();
  const sleeper = createSleeper(signal);
  let links: Links | undefined;
  let reporting: Reporting | undefined;
  const loops: Promise<void>[] = [];

  const faults = createFaultReports({ contact, kept: spool.faults, before: options.faultsBefore, now, log });
  const orders = createOrders({ version: options.version, faults, log });
  // The clock may have been set back since.
  const isCoreAway = () => Math.abs(Date.now() - (contact.lastAnswerAt ?? 0)) > 3 * pace.heartbeatMs;
  const terms = createTerms({ now, isCoreAway, carriedBefore: options.carriedBefore });
  const addressLimits = createAddressLimits(Date.now);
  const attribute = (uuid: string) => links && ownerIn(links, uuid);

  const watchOf = (name: EngineName) =>
    watchEngine(
      {
        drained: (reading) => collecting.drained(name, reading),
        exited: (exit) => collecting.exited(name, exit),
        vanished: (incarnation) => collecting.vanished(name, incarnation),
      },
      Date.now,
    );
  const watches = { xray: watchOf("xray"), mtproto: watchOf("mtproto"), wireguard: watchOf("wireguard") };
  const mtproto = createDrivenMtproto(options.engines.mtproto, () => watches.mtproto.lives);
  const xray = createDrivenXray(
    options.engines.xray,
    () => watches.xray.lives,
    followKicks({ log, onCut: options.engines.onCut }),
  );
  const wireguard = createDrivenWireGuard(options.engines.wireguard, () => watches.wireguard.lives);
  const engines = [xray, mtproto, wireguard];
  const counters: AgentCounters = registerAgentMetrics(options.registry, readings);
  const sync = createConfigSync({
    ...{ contact, faults, signal, now, log },
    // What WireGuard lacks on a machine shows when it starts, and it takes back what it changes at nobody's cost.
    engines: [wireguard, xray, mtproto],
    file: join(directory, "last-good.json"),
    refusals: { isRefused: terms.isRefused, addressesOf: addressLimits.addressesOf },
    counted: counters.config,
    changed(config) {
      links = config.links;
      terms.replace(config.config.subscriptionTerms, config.links);
      terms.review();
      addressLimits.replace(config.config.subscriptionTerms, config.links);
      sleeper.wake();
    },
  });
  const latest = createLatestSync(sync, log);
  const enforce = shareRuns(async () => {
    log.info({ subscriptions: terms.refused, addresses: addressLimits.refused }, "others are refused now than before");
    await sync.enforce();
  });
  const refusedChanged = () => void enforce().catch((err: unknown) => log.debug({ err }, "not enforced"));
  const collecting = createCollecting({
    ...{ engines, spool, sessions, terms, addressLimits, faults, now, refusedChanged },
    links: () => links,
    urgent: () => reporting?.flushUsage(),
  });

  async function readings(): Promise<AgentReadings> {
    return {
      ...{ contact: contact.state, lastAnswerAt: contact.lastAnswerAt, revision: sync.current?.revision },
      ...{
        applyState: ApplyStateSchema.value[sync.state]?.localName.toLowerCase() ?? "",
        refusedSubscriptions: terms.refused,
        refusedAddresses: addressLimits.refused,
      },
      ...{ isDraining: orders.isDraining, online: sessions.online, spools: await spool.status(), now: now() },
    };
  }

  async function describe(installId: string): Promise<MessageInitShape<typeof HeartbeatRequestSchema>> {
    const { current } = sync;
    const ports = portsOf(current?.config.services);
    const tunnels = current?.config.services?.wireguard?.inbounds.map(({ tag }) => tag);
    const address = ownAddress(networkInterfaces(), tunnels);
    return {
      ...(isPublic(address) && { ip: address }),
      ...(current !== undefined && { revision: BigInt(current.revision), digest: current.digest }),
      ...(sync.fault !== undefined && { lastError: sync.fault }),
      ...{ applyState: sync.state, agentVersion: options.version, protocolVersion, installId, bootId: bootId() },
      capabilities: [...options.capabilities],
      uptimeSeconds: BigInt(Math.round((uptime() - startedAt) / 1_000)),
      engines: engines.map((engine) => watches[engine.name].status(engine, ports[engine.name])),
      host: await readHostStatus({ system: options.system, directory }),
      spools: (await spool.status()).map((state) => spoolStatus(state, pace.maxEntries(state.kind), now())),
      onlineUsers: BigInt(sessions.online),
    };
  }

  async function answered(answer: HeartbeatResponse): Promise<void> {
    const { needSync, desiredRevision, desiredDigest, rotateKey } = answer;
    orders.heard(answer);
    orders.clockHeard(clock.offsetMs());
    if (pace.adopt(answer)) {
      sleeper.wake();
      reporting?.wake();
    }
    if (desiredRevision !== undefined) latest.wanted({ revision: Number(desiredRevision), digest: desiredDigest });
    else if (needSync) latest.wanted(undefined);
    if (rotateKey) await options.rotateKey();
  }

  collecting.tellGaps(options.gapsBefore);
  const periodMs = () => pace.enginePollMs;
  const restored = sync.restore().catch((err: unknown) => log.debug({ err }, "not restored"));
  loops.push(restored.then(() => runCollecting({ collecting, terms, periodMs, now, sleeper, signal })));
  return {
    heard: { xray: watches.xray.events, mtproto: watches.mtproto.events, wireguard: watches.wireguard.events },
    begin(installId) {
      if (signal.aborted) return;
      reporting = startReporting({
        ...{ contact, spool, pace, terms, attribute, faults, directory, now, log },
        booked: () => terms.review() && refusedChanged(),
      });
      const announced = latest.wanted;
      const reconnectMs = () => pace.reconnectMs;
      loops.push(
        runHeartbeats({
          ...{ contact, clock, uptime, answered, reconnectMs, signal, log },
          periodMs: () => pace.heartbeatMs,
          describe: () => describe(installId),
        }),
        watchConfigs({ contact, announced, reconnectMs, signal, log, current: () => sync.current }),
      );
    },
    async close(endEngines) {
      closing.abort();
      await Promise.all([reporting?.close(), faults.close()]);
      await collecting.collect();
      await Promise.all([endEngines(), mtproto.counted?.close()]);
      await Promise.all([...loops, latest.settled()]);
      await sync.settled();
      await collecting.settled();
      await sessions.keep();
    },
  };
}
