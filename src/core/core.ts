import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { Registry } from "prom-client";
import type { Intervals } from "../../gen/garrison/core/v1/node_status_pb.ts";
import type { ApiDescription } from "../platform/rest/openapi/openapi.ts";
import type { Gate } from "../platform/rpc/gate.ts";
import type { ServedService } from "../platform/rpc/served-service.ts";
import type { Database } from "../platform/storage/database.ts";
import type { Subscription } from "../platform/storage/event-bus.ts";
import type { Logger } from "../platform/telemetry/log.ts";
import { describeCore } from "./api/description.ts";
import { createFleetServices } from "./api/fleet/fleet.ts";
import { createCoreGate } from "./api/gate.ts";
import { createNodeAgentService } from "./api/node-agent.ts";
import { createSubscriptionLinkService } from "./api/subscription-links.ts";
import { registerCoreMetrics } from "./core-metrics.ts";
import { createEnrolment } from "./domain/enrolment.ts";
import { createHeartbeats } from "./domain/heartbeats.ts";
import { createNodeKeys } from "./domain/node-keys.ts";
import { nodeLimits, usualIntervals } from "./domain/node-terms.ts";
import { createOperatorKeys } from "./domain/operator-keys.ts";
import { createPace } from "./domain/pace.ts";
import { createSubscriptionDocuments } from "./domain/subscription-links/subscription-documents.ts";
import { createTallies } from "./domain/tallies.ts";
import { createUsageBooking } from "./domain/usage/usage-booking.ts";
import { openConfigs } from "./open-configs.ts";
import { onPublished } from "./store/config-heads.ts";
import { createEnrolmentStore } from "./store/enrolment.ts";
import { readFleet } from "./store/fleet-readings.ts";
import { createHeartbeatStore } from "./store/heartbeats.ts";
import { createNodeKeyStore } from "./store/node-keys.ts";
import { createOperatorKeyStore } from "./store/operator-keys.ts";
import type { CoreSchema } from "./store/schema.ts";
import { createSubscriptionLinkStore } from "./store/subscription-links.ts";
import { topics } from "./store/topics.ts";
import { createUsageStore } from "./store/usage/usage-store.ts";
import { openUpkeep } from "./upkeep.ts";

/** What Core stands on. */
export interface CoreOptions {
  /** Shared by all replicas. Closed by its owner, after Core. */
  database: Database<CoreSchema>;
  version: string;
  /** Where nodes reach Core, best first: asked when an enrolment code is made. */
  urls: () => readonly string[];
  /** What links of subscriptions begin with, without a slash at its end. Default: the first of `urls`. */
  subscriptionUrl?: string | undefined;
  /** SHA-256 of the certificate of Core's authority. Undefined: Core's certificate is somebody else's, or there is none. */
  caSha256: string | undefined;
  /** How often Core wants to hear from nodes. Default: the usual values. */
  intervals?: Intervals;
  /** The oldest version of agents that Core likes to work with. Undefined: any. */
  minAgentVersion?: string | undefined;
  /** Where its metrics go. Default: nowhere. */
  registry?: Registry;
  /** Milliseconds since 1970. */
  now: () => number;
  log: Logger;
}

/** Core, to be served. */
export interface Core {
  readonly services: readonly ServedService[];
  readonly gate: Gate;
  /** What `/openapi.json` says of it. */
  readonly describe: () => Promise<ApiDescription>;
  /** Writes down what is not yet. After the servers are closed. */
  close(): Promise<void>;
}

/** Puts Core together. */
export function createCore(options: CoreOptions): Core {
  const { database, version, urls, caSha256, intervals = usualIntervals, now, log } = options;
  const tallies = createTallies();
  const nodeKeys = createNodeKeys({ store: createNodeKeyStore(database), now });
  const operatorKeys = createOperatorKeys({ store: createOperatorKeyStore(database), now });
  const heartbeats = createHeartbeats({
    store: createHeartbeatStore(database),
    intervals,
    limits: nodeLimits,
    minAgentVersion: options.minAgentVersion,
    tallies,
    now,
    onProblem: (err) => log.error({ err }, "heartbeats could not be written down, and are tried again"),
  });
  const counted = (revisions: number) => {
    tallies.revisions += revisions;
  };
  const { publisher, configs, close: closeConfigs } = openConfigs({ database, now, log, counted });
  const enrolment = createEnrolment({
    store: createEnrolmentStore(database),
    urls,
    caSha256,
    onRegistered(nodeId) {
      log.info({ node: nodeId }, "a node has registered");
      publisher.changed({ nodeIds: [nodeId] }, "node registered");
    },
    now,
  });
  const limits = nodeLimits;
  const usage = createUsageBooking({
    store: createUsageStore(database),
    ...{ configs: publisher, limits, tallies: tallies.reports, now },
  });
  const upkeep = openUpkeep({ database, now, log });
  const heartbeatMs = intervals.heartbeatMs ?? 0;
  if (options.registry !== undefined)
    registerCoreMetrics({
      registry: options.registry,
      tallies,
      watchers: () => configs.watchers,
      driftingInbounds: () => upkeep.driftingInbounds,
      readFleet: () => readFleet(database, heartbeatMs, now()),
    });
  const subscriptionUrl = (token: string) => `${options.subscriptionUrl ?? urls()[0] ?? ""}/sub/${token}`;
  const links = createSubscriptionLinkStore(database, () => performance.now());
  const documents = createSubscriptionDocuments({
    store: links,
    url: subscriptionUrl,
    pace: createPace(setImmediate, () => performance.now()),
    now,
  });
  const subscriptions: Pick<Subscription, "close">[] = [
    listen(database, topics.nodeKeys, (nodeId) => nodeKeys.changed(nodeId)),
    listen(database, topics.nodes, (nodeId) => heartbeats.changed(nodeId === undefined ? undefined : [nodeId])),
    listen(database, topics.operatorKeys, () => operatorKeys.changed()),
    onPublished(database, (nodeIds) => heartbeats.changed(nodeIds)),
  ];
  return {
    services: [
      createNodeAgentService({ enrolment, nodeKeys, heartbeats, usage, configs, intervals, limits, caSha256, now }),
      ...createFleetServices({
        database,
        publisher,
        onChange: () => links.changed(),
        codeText: enrolment.codeText,
        subscriptionUrl,
        heartbeatMs,
        random: randomBytes,
        now,
      }),
      createSubscriptionLinkService({ documents, now }),
    ],
    gate: createCoreGate({ nodeKeys, operators: [operatorKeys], now }),
    describe: () => describeCore(version),
    async close() {
      for (const subscription of subscriptions) subscription.close();
      await heartbeats.close();
      await upkeep.close();
      await closeConfigs();
    },
  };
}

/** Hears of changes: of one node, or where none is named, or some were missed, of all. */
function listen(
  { events }: Database<CoreSchema>,
  topic: string,
  changed: (nodeId: number | undefined) => void,
): Subscription {
  return events.subscribe(topic, {
    event: (payload) => changed(payload ? Number(payload) : undefined),
    resync: () => changed(undefined),
  });
}
