import type { HandlerContext, Interceptor } from "@connectrpc/connect";
import { NodeAgentService } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { type Intervals, type Limits, LimitsSchema } from "../../../gen/garrison/core/v1/node_status_pb.ts";
import { createFailureLimiter } from "../../platform/identity/failure-limiter.ts";
import { kPeer } from "../../platform/rpc/call-context.ts";
import { answerErrors } from "../../platform/rpc/interceptors/answer-errors.ts";
import { type ServedService, serveService } from "../../platform/rpc/served-service.ts";
import type { Configs } from "../domain/configs.ts";
import { type Enrolment, EnrolmentCodeInvalid } from "../domain/enrolment.ts";
import type { Heartbeats } from "../domain/heartbeats.ts";
import type { NodeKeys } from "../domain/node-keys.ts";
import type { UsageBooking } from "../domain/usage/usage-booking.ts";
import { answerTo, tooManyFailures } from "./errors.ts";
import { kNode } from "./gate.ts";
import { createConfigHandlers } from "./node-configs.ts";
import { refuseZeroCharacters } from "./refuse-zero-characters.ts";

/** Options of {@link createNodeAgentService}. */
export interface NodeAgentServiceOptions {
  enrolment: Enrolment;
  nodeKeys: NodeKeys;
  heartbeats: Heartbeats;
  usage: UsageBooking;
  configs: Configs;
  intervals: Intervals;
  limits: Limits;
  /** SHA-256 of the certificate of Core's authority. Undefined: Core's certificate is somebody else's. */
  caSha256: string | undefined;
  /** Milliseconds since 1970. */
  now: () => number;
}

/** `garrison.core.v1.NodeAgentService`: what the agents of nodes call. */
export function createNodeAgentService(options: NodeAgentServiceOptions): ServedService {
  const { enrolment, nodeKeys, heartbeats, usage, configs, intervals, limits, caSha256, now } = options;
  const guesses = createFailureLimiter({ burst: 10, forgiveMs: 30_000, capacity: 10_000, now });
  const nodeOf = ({ values }: HandlerContext) => values.get(kNode).nodeId;
  const batchOf = ({ requestHeader }: HandlerContext) => requestHeader.get("idempotency-key") ?? undefined;
  return serveService(
    NodeAgentService,
    {
      async register(request, { values }) {
        const { nodeId, key } = await enrolment.register(request).catch((cause: unknown) => {
          const waitMs = cause instanceof EnrolmentCodeInvalid ? guesses.fail(values.get(kPeer).address) : 0;
          throw waitMs === 0 ? cause : tooManyFailures("too many enrolment codes that are not valid", waitMs);
        });
        const registered = { authKey: key, nodeId: BigInt(nodeId) };
        if (request.protocolVersion === 0) return registered;
        return { ...registered, ...(caSha256 && { caSha256 }), intervals, limits, serverTimeMs: BigInt(now()) };
      },
      heartbeat: (request, context) => heartbeats.beat(nodeOf(context), request),
      reportUsage: (request, context) => usage.reportUsage(nodeOf(context), request, batchOf(context)),
      reportOutboundUsage: (request, context) => usage.reportOutboundUsage(nodeOf(context), request, batchOf(context)),
      reportSessions: (request, context) => usage.reportSessions(nodeOf(context), request, batchOf(context)),
      ...createConfigHandlers(configs, nodeKeys),
      async rotateKey(_, { values }) {
        const { key, oldKeyEndsAt } = await nodeKeys.rotate(values.get(kNode));
        return { authKey: key, oldKeyEndsAtMs: BigInt(oldKeyEndsAt) };
      },
    },
    {
      interceptors: [answerErrors(answerTo), judgeRegistrations],
      isPublic: (method) => method === NodeAgentService.method.register,
      accepted: { desc: LimitsSchema, value: limits },
    },
  );
}

/** What nodes report is taken as far as it can be; who registers can be told. */
const judgeRegistrations: Interceptor = (next) => {
  const judged = refuseZeroCharacters(next);
  return (request) => (request.method === NodeAgentService.method.register ? judged(request) : next(request));
};
