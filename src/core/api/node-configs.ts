import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { NodeAgentService } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { acceptsGzip } from "../../platform/rest/accepts-gzip.ts";
import { isKnown } from "../../platform/rest/etag.ts";
import { kReadyBody } from "../../platform/rest/ready-body.ts";
import { kProtocol } from "../../platform/rpc/call-context.ts";
import type { Configs, StoredConfig } from "../domain/configs.ts";
import { NodeKeyRevoked, type NodeKeys } from "../domain/node-keys.ts";
import { kNode } from "./gate.ts";

type ConfigMethods = "getConfig" | "watchConfig" | "reportApplied" | "reportError";

/** The methods of NodeAgentService that are about configs. */
export function createConfigHandlers(
  configs: Configs,
  keys: Pick<NodeKeys, "follow">,
): Pick<ServiceImpl<typeof NodeAgentService>, ConfigMethods> {
  const nodeOf = ({ values }: HandlerContext) => values.get(kNode).nodeId;

  /** Whoever waits is not told what comes after the key has ended. */
  async function whileGood<T>({ values, signal }: HandlerContext, work: (good: AbortSignal) => Promise<T>): Promise<T> {
    const key = keys.follow(values.get(kNode));
    try {
      const found = await work(AbortSignal.any([signal, key.ended]));
      if (key.ended.aborted) throw new NodeKeyRevoked();
      return found;
    } finally {
      key.close();
    }
  }

  return {
    async getConfig(request, context) {
      const latestOf: Configs["latest"] = (nodeId, wanted, signal, known) =>
        wanted.wait === 0
          ? configs.latest(nodeId, wanted, signal, known)
          : whileGood(context, (good) => configs.latest(nodeId, wanted, good, known));
      if (context.values.get(kProtocol) === "rest")
        return getOverRest(latestOf, nodeOf(context), request.wait, context);
      const latest = await latestOf(nodeOf(context), request, context.signal);
      if ("config" in latest) return { config: await latest.config.message() };
      return "delta" in latest ? { delta: latest.delta } : { unchanged: true };
    },
    // Whoever listens for long is not told what comes after the key has ended: the next call is refused.
    async *watchConfig(request, context) {
      const key = keys.follow(context.values.get(kNode));
      try {
        yield* configs.watch(nodeOf(context), request, AbortSignal.any([context.signal, key.ended]));
      } finally {
        key.close();
      }
    },
    async reportApplied(report, context) {
      await configs.applied(nodeOf(context), report);
      return { ok: true };
    },
    async reportError(report, context) {
      await configs.failed(nodeOf(context), report);
      return { ok: true };
    },
  };
}

const never = new AbortController().signal;

/** In REST the ETag names what the caller has, and the config is always whole, written and compressed once for all. */
async function getOverRest(latestOf: Configs["latest"], nodeId: number, wait: number, context: HandlerContext) {
  const { requestHeader, responseHeader, values } = context;
  const ifNoneMatch = requestHeader.get("if-none-match") ?? undefined;
  const known = (etag: string) => isKnown(ifNoneMatch, etag);
  // The signal of a call is made when it is asked for, at a price.
  const latest = await latestOf(nodeId, { digest: "", wait }, wait > 0 ? context.signal : never, known);
  responseHeader.set("etag", latest.etag);
  if ("config" in latest) values.set(kReadyBody, await bodyOf(latest.config, context));
  return {};
}

async function bodyOf(config: StoredConfig, { requestHeader, responseHeader }: HandlerContext): Promise<Uint8Array> {
  responseHeader.set("vary", "accept-encoding");
  if (!acceptsGzip(requestHeader)) return config.json();
  responseHeader.set("content-encoding", "gzip");
  return config.gzip();
}
