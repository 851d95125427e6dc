import { AuditService } from "../../../../gen/garrison/core/v1/audit_pb.ts";
import { UsageService } from "../../../../gen/garrison/core/v1/usage_pb.ts";
import type { ServedService } from "../../../platform/rpc/served-service.ts";
import type { Database } from "../../../platform/storage/database.ts";
import type { ConfigPublisher } from "../../domain/configs.ts";
import type { Random } from "../../domain/fleet/random.ts";
import { createApiKeyStore } from "../../store/fleet/api-keys.ts";
import { createListAudit } from "../../store/fleet/audit-list.ts";
import { createMakeChange } from "../../store/fleet/changes.ts";
import { createEnrolmentCodeStore } from "../../store/fleet/enrolment-codes.ts";
import { createCompareInboundUsage } from "../../store/fleet/inbound-comparison.ts";
import { createNodeStore } from "../../store/fleet/nodes.ts";
import { createListOnlineSessions } from "../../store/fleet/online-sessions.ts";
import { createOutboundStore } from "../../store/fleet/outbounds.ts";
import { createProtocolStore } from "../../store/fleet/protocols.ts";
import { createRevisionStore } from "../../store/fleet/revisions.ts";
import { createRoutingStore } from "../../store/fleet/routing.ts";
import { createListSessionEvents } from "../../store/fleet/session-events.ts";
import { createSubscriptionList } from "../../store/fleet/subscription-list.ts";
import { createSubscriptionStore } from "../../store/fleet/subscriptions.ts";
import { createQueryUsage } from "../../store/fleet/usage.ts";
import { createUserStore } from "../../store/fleet/users.ts";
import type { CoreSchema } from "../../store/schema.ts";
import { createNodeOutboundService } from "./node-outbound-service.ts";
import { createNodeProtocolService } from "./node-protocol-service.ts";
import { createNodeService } from "./node-service.ts";
import { createOperatorService } from "./operator-service.ts";
import { createRevisionService } from "./revision-service.ts";
import { serveFleet } from "./serve-fleet.ts";
import { createSubscriptionService } from "./subscription-service.ts";
import { createUserService } from "./user-service.ts";

/** Options of {@link createFleetServices}. */
export interface FleetOptions {
  database: Database<CoreSchema>;
  publisher: ConfigPublisher;
  /** Told of every change, after it. */
  onChange?: () => void;
  /** The enrolment code as an agent needs it, of the secret in it. */
  codeText: (secret: string) => string;
  /** The link of a subscription, of the token in it. */
  subscriptionUrl: (token: string) => string;
  /** How often nodes send heartbeats, by which their state is told. */
  heartbeatMs: number;
  random: Random;
  /** Milliseconds since 1970. */
  now: () => number;
}

/** The services for operators. The gate says who calls by `kOperator`. */
export function createFleetServices(options: FleetOptions): readonly ServedService[] {
  const { database, random, now, heartbeatMs, codeText, subscriptionUrl } = options;
  const change = createMakeChange(options);
  const codes = createEnrolmentCodeStore({ database, change, codeText, now });
  const revisions = createRevisionStore(database, change);
  const queryUsage = createQueryUsage(database, now);
  const listSessionEvents = createListSessionEvents(database);
  const listOnlineSessions = createListOnlineSessions(database, heartbeatMs, now);
  const compareInboundUsage = createCompareInboundUsage(database, now);
  const listAuditEntries = createListAudit(database);
  return [
    createNodeService({
      nodes: createNodeStore({ database, change, codes, heartbeatMs, now }),
      codes,
      revisions,
    }),
    createNodeProtocolService(createProtocolStore({ database, change, random })),
    createNodeOutboundService(createOutboundStore(database, change), createRoutingStore(database, change)),
    createUserService(createUserStore(database, change)),
    createSubscriptionService({
      list: createSubscriptionList(database, now),
      store: createSubscriptionStore({ change, random }),
      url: subscriptionUrl,
    }),
    createRevisionService(revisions),
    createOperatorService(createApiKeyStore(database, change)),
    serveFleet(UsageService, { queryUsage, listSessionEvents, listOnlineSessions, compareInboundUsage }),
    serveFleet(AuditService, { listAuditEntries }),
  ];
}
