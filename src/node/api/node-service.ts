import { create } from "@bufbuild/protobuf";
import { type BaseInfoResponse, BaseInfoResponseSchema, NodeService } from "../../../gen/service/node_pb.ts";
import { kDelivery } from "../../platform/rpc/call-context.ts";
import { answerErrors } from "../../platform/rpc/interceptors/answer-errors.ts";
import { type ServedService, serveService } from "../../platform/rpc/served-service.ts";
import { assembleChunks } from "../runtime/chunks.ts";
import type { Runtime, UsersChanged } from "../runtime/runtime.ts";
import { BackendNotInitialized, EmailMissing } from "../runtime/situations.ts";
import { noteActivity } from "./activity.ts";
import { answerTo } from "./errors.ts";
import { tellKicks } from "./kick-header.ts";
import { requireBackend } from "./require-backend.ts";
import { routingMethods } from "./routing.ts";
import { emailOf, statsOf, trafficQueryOf } from "./stat-request.ts";

/** Options of {@link createNodeService}. */
export interface NodeServiceOptions {
  runtime: Runtime;
  /** The node's own version, at least 0.2.0, at most 32 characters. */
  nodeVersion: string;
}

/** `service.NodeService` over a runtime. */
export function createNodeService({ runtime, nodeVersion }: NodeServiceOptions): ServedService {
  const baseInfo = (): BaseInfoResponse => create(BaseInfoResponseSchema, { ...runtime.info, nodeVersion });
  return serveService(
    NodeService,
    {
      async start(backend, { responseHeader }) {
        const { kick } = await runtime.start(backend);
        await tellKicks(responseHeader, [kick]);
        return baseInfo();
      },
      async stop() {
        await runtime.stop();
        return {};
      },
      getBaseInfo: baseInfo,
      async syncUser(users, { responseHeader }) {
        const kicks: UsersChanged["kick"][] = [];
        for await (const user of users) {
          if (user.email === "") throw new EmailMissing();
          kicks.push((await runtime.updateUsers([user])).kick);
        }
        await tellKicks(responseHeader, kicks);
        return {};
      },
      async syncUsers({ users }, { responseHeader }) {
        const { kick } = await runtime.replaceUsers(users);
        await tellKicks(responseHeader, [kick]);
        return {};
      },
      async syncUsersChunked(chunks, { responseHeader }) {
        const { kick } = await runtime.updateUsers(await assembleChunks(chunks));
        await tellKicks(responseHeader, [kick]);
        return {};
      },
      async getStats(request, { values }) {
        const query = trafficQueryOf(request);
        return { stats: statsOf(await runtime.traffic(query, values.get(kDelivery)), query) };
      },
      async getUserOnlineStats(request) {
        const email = emailOf(request);
        return { name: email, value: BigInt(Object.keys(await runtime.online(email)).length) };
      },
      async getUserOnlineIpListStats(request) {
        const email = emailOf(request);
        return { name: email, ips: await runtime.online(email) };
      },
      async getOutboundsLatency({ name }, { protocolName }) {
        try {
          return { latencies: await runtime.latencies(name === "" ? undefined : name) };
        } catch (error) {
          // The original asks for a backend over REST only.
          if (error instanceof BackendNotInitialized && protocolName !== "rest") return {};
          throw error;
        }
      },
      ...routingMethods(runtime),
      getBackendStats: () => runtime.engineStats(),
      getSystemStats: () => runtime.systemStats(),
      async *getLogs(_, { signal }) {
        for await (const detail of runtime.followLog(signal)) yield { detail };
      },
    },
    // The contract of the original has no rules: handlers answer with its texts.
    { validated: false, interceptors: [answerErrors(answerTo), noteActivity(runtime.touch), requireBackend(runtime)] },
  );
}
