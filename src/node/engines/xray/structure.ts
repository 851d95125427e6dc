import { toBinary } from "@bufbuild/protobuf";
import { HandlerService } from "../../../../gen/xray/app/proxyman/command/command_pb.ts";
import { RoutingService } from "../../../../gen/xray/app/router/command/command_pb.ts";
import { InboundHandlerConfigSchema, OutboundHandlerConfigSchema } from "../../../../gen/xray/core/config_pb.ts";
import { EngineUnreachable } from "../engine-error.ts";
import { isRefusal, type XrayApi } from "./api.ts";
import type { StructureStep } from "./structure-diff.ts";
import type { TypedConfig } from "./typed-config.ts";

/** A step failed. The message is Xray's text. */
export class StepFailed extends Error {
  override readonly name = "StepFailed";
  /** Whether everything is as it was before the first step. If not, nobody knows how it is. */
  readonly restored: boolean;

  constructor(message: string, restored: boolean) {
    super(message);
    this.restored = restored;
  }
}

/**
 * Changes the structure of a running Xray step by step. When one fails, those before it are undone, and
 * {@link StepFailed} is thrown. `before` is asked for then alone.
 */
export async function takeSteps(
  api: XrayApi,
  steps: readonly StructureStep[],
  after: TypedConfig,
  before: () => Promise<TypedConfig>,
): Promise<void> {
  const begun: StructureStep[] = [];
  try {
    for (const step of steps) {
      begun.unshift(step);
      await take(api, step, after);
    }
  } catch (error) {
    const restored = await undo(api, begun, before).then(
      () => true,
      () => false,
    );
    throw new StepFailed(error instanceof Error ? error.message : String(error), restored);
  }
}

/** Whether the config has what every step needs, small enough for one message to Xray. */
export function canTakeSteps(steps: readonly StructureStep[], config: TypedConfig): boolean {
  return steps.every((step) => {
    const bytes = bytesOf(step, config);
    return bytes !== undefined && bytes < largestMessageBytes;
  });
}

function bytesOf(step: StructureStep, { inbounds, outbounds, routing }: TypedConfig): number | undefined {
  if (step.kind === "setRouting") return routing?.value.length;
  if (step.kind === "removeInbound" || step.kind === "removeOutbound") return 0;
  const inbound = step.kind === "addInbound" ? inbounds.get(step.tag) : undefined;
  if (inbound !== undefined) return toBinary(InboundHandlerConfigSchema, inbound).length;
  const outbound = step.kind === "addOutbound" ? outbounds.get(step.tag) : undefined;
  return outbound && toBinary(OutboundHandlerConfigSchema, outbound).length;
}

/** Xray's gRPC takes 4 MiB, which the request around it shares. */
const largestMessageBytes = (4 << 20) - 1024;

async function take(api: XrayApi, step: StructureStep, config: TypedConfig): Promise<void> {
  const { addInbound, removeInbound, addOutbound, removeOutbound } = HandlerService.method;
  switch (step.kind) {
    case "addInbound":
      await api.call(addInbound, { inbound: found(config.inbounds.get(step.tag)) }, stepTimeoutMs);
      break;
    case "removeInbound":
      await unlessRefused(api.call(removeInbound, { tag: step.tag }, stepTimeoutMs), isAbsent);
      break;
    case "addOutbound":
      await api.call(addOutbound, { outbound: found(config.outbounds.get(step.tag)) }, stepTimeoutMs);
      break;
    case "removeOutbound":
      await api.call(removeOutbound, { tag: step.tag }, stepTimeoutMs);
      break;
    case "setRouting":
      // While Xray builds the new rules, new connections see those that are ready, or none and take the default outbound.
      await api.call(RoutingService.method.addRule, { config: found(config.routing) }, stepTimeoutMs);
  }
}

/** Leads back from steps, the last one first. That one may have been taken in part, or not at all. */
async function undo(api: XrayApi, steps: readonly StructureStep[], before: () => Promise<TypedConfig>): Promise<void> {
  const config = await before();
  for (const step of steps) {
    const opposite = step.kind === "setRouting" ? step : ({ kind: opposites[step.kind], tag: step.tag } as const);
    await unlessRefused(take(api, opposite, config), isPresent);
  }
}

const opposites = {
  addInbound: "removeInbound",
  removeInbound: "addInbound",
  addOutbound: "removeOutbound",
  removeOutbound: "addOutbound",
} as const;

/** Rules from large geo files take a while. */
const stepTimeoutMs = 30_000;

// Xray's only word for an inbound that is not there.
const isAbsent = /not enough information for making a decision/;
const isPresent = /existing tag found/;

async function unlessRefused(call: Promise<unknown>, text: RegExp): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isRefusal(error, text)) throw error;
  }
}

function found<T>(part: T | undefined): T {
  if (part === undefined) throw new EngineUnreachable("xray left a part of the config out when it read it");
  return part;
}
