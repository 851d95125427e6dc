import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { NodeAgentService } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { acceptsGzip } from "../../platform/rest/accepts-gzip.ts";
import { isKnown } from "../../platform/rest/etag.ts";
import { kReadyBody } from "../../platform/rest/ready-body.ts";
import { kProtocol } from "../../platform/rpc/call-context.ts";
import type { Configs, LatestConfig, StoredConfig } from "../domain/configs.ts";
import { NodeKeyRevoked, type NodeKeys } from "../domain/node-keys.ts";
import { kNode } from "./gate.ts";

type LatestRequest = Parameters<Configs["latest"]>[1];
/** Whether the caller has the config with an ETag. */
type Known = (etag: string) => boolean;
type ConfigMethods = "getConfig" | "watchConfig" | "reportApplied" | "reportError";

/** The methods of NodeAgentService that are about configs. */
export function createConfigHandlers(
  configs: Configs,
  keys: Pick<NodeKeys, "follow">,
): Pick<ServiceImpl<typeof NodeAgentService>, ConfigMethods> {
  const nodeOf = ({ values }: HandlerContext) => values.get(kNode).nodeId;

  /** Follows the key that a call came with, as long as the call waits; `signal` aborts with either of the two. */
  function follow({ values, signal }: HandlerContext) {
    const { ended, close } = keys.follow(values.get(kNode));
    return { ended, signal: AbortSignal.any([signal, ended]), [Symbol.dispose]: close };
  }

  /** Who has waited is refused when the key has ended meanwhile. */
  async function latest(request: LatestRequest, context: HandlerContext, known?: Known): Promise<LatestConfig> {
    // The signal of a call is made when it is asked for, at a price.
    if (request.wait === 0) return configs.latest(nodeOf(context), request, never, known);
    using key = follow(context);
    const found = await configs.latest(nodeOf(context), request, key.signal, known);
    if (key.ended.aborted) throw new NodeKeyRevoked();
    return found;
  }

  return {
    async getConfig(request, context) {
      if (context.values.get(kProtocol) === "rest") {
        // The ETag names what the caller has.
        const wanted = { digest: "", wait: request.wait };
        return answerRest((known) => latest(wanted, context, known), context);
      }
      const found = await latest(request, context);
      if ("config" in found) return { config: await found.config.message() };
      return "delta" in found ? { delta: found.delta } : { unchanged: true };
    },
    // Who listens is not told what comes after the key has ended: the next call is refused.
    async *watchConfig(request, context) {
      using key = follow(context);
      yield* configs.watch(nodeOf(context), request, key.signal);
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

/** In REST the config is always whole, written and compressed once for all. */
async function answerRest(latest: (known: Known) => Promise<LatestConfig>, context: HandlerContext) {
  const { requestHeader, responseHeader, values } = context;
  const ifNoneMatch = requestHeader.get("if-none-match") ?? undefined;
  const found = await latest((etag) => isKnown(ifNoneMatch, etag));
  responseHeader.set("etag", found.etag);
  if ("config" in found) values.set(kReadyBody, await bodyOf(found.config, context));
  return {};
}

async function bodyOf(config: StoredConfig, { requestHeader, responseHeader }: HandlerContext): Promise<Uint8Array> {
  responseHeader.set("vary", "accept-encoding");
  if (!acceptsGzip(requestHeader)) return config.json();
  responseHeader.set("content-encoding", "gzip");
  return config.gzip();
}
