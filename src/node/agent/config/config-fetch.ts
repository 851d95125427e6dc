import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GetConfigRequestSchema } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { ConfigDelta, NodeConfig } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { Logger } from "../../../platform/telemetry/log.ts";
import type { Contact } from "../contact/contact.ts";
import { CoreRefused } from "../contact/core-client.ts";
import { afterDelta } from "./config-delta.ts";
import type { GoodConfig } from "./kept-config.ts";

/** A config that Core has sent. */
export interface FetchedConfig {
  readonly config: NodeConfig;
  /** What its digest is over. Undefined: not known yet. */
  readonly content?: string;
}

/** Options of {@link fetchConfig}. */
export interface FetchOptions {
  readonly contact: Pick<Contact, "call">;
  /** What runs. */
  readonly current: GoodConfig | undefined;
  /** The way from what runs to the newest one, where Core has told it. */
  readonly delta: ConfigDelta | undefined;
  readonly log: Pick<Logger, "warn">;
}

const timeoutMs = 120_000;

/**
 * The newest config: by the way to it that Core has told, or that it answers, and as a whole where that does not lead
 * there. Undefined: there is none, or it is the one that runs. Throws what calls throw.
 */
export async function fetchConfig({ contact, current, delta, log }: FetchOptions): Promise<FetchedConfig | undefined> {
  async function ask(request: MessageInitShape<typeof GetConfigRequestSchema>) {
    try {
      return await contact.call((core, call) => core.getConfig(request, call), { timeoutMs });
    } catch (error) {
      if (error instanceof CoreRefused && error.code === "CONFIG_MISSING") return undefined;
      throw error;
    }
  }

  /** Undefined: the way starts elsewhere, or does not lead where it says. */
  function follow(way: ConfigDelta): FetchedConfig | undefined {
    if (current === undefined || way.baseDigest !== current.digest) return undefined;
    const read = afterDelta(current.content, way);
    if (read === undefined) log.warn({ revision: Number(way.revision) }, "a delta of Core does not lead to its digest");
    return read;
  }

  const told = delta && follow(delta);
  if (told !== undefined) return told;
  const digest = current?.digest ?? "";
  const answer = await ask(current === undefined ? {} : { digest, since: BigInt(current.revision) });
  if (answer?.config !== undefined) return { config: answer.config };
  if (answer?.delta === undefined) return undefined;
  const read = follow(answer.delta);
  if (read !== undefined) return read;
  const whole = await ask({ digest });
  return whole?.config && { config: whole.config };
}
