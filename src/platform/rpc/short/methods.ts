import type { Interceptor, MethodImplSpec } from "@connectrpc/connect";
import { createRunningCalls, type RunningCalls } from "../call/running-calls.ts";
import type { ServedService } from "../served-service.ts";
import type { ShutdownSignals } from "../shutdown.ts";
import { type Codec, type CodecOptions, createCodecs } from "./codecs.ts";

/** A method as the short path serves it: what does not change from call to call. */
export interface ShortMethod {
  readonly path: string;
  readonly spec: MethodImplSpec;
  /** Outermost first. */
  readonly interceptors: readonly Interceptor[];
  readonly codecs: Readonly<Record<"binary" | "json", Codec>>;
  /** Calls of this kind that are running. */
  readonly running: RunningCalls;
}

/** Options of {@link compileMethods}. */
export interface MethodsOptions {
  services: readonly ServedService[];
  interceptors: (service: ServedService) => Interceptor[];
  limits: CodecOptions;
  shutdown: ShutdownSignals;
}

/** Prepares all methods of some services, by the path of their URL. */
export function compileMethods(options: MethodsOptions): ReadonlyMap<string, ShortMethod> {
  const { limits } = options;
  const unary = createRunningCalls(options.shutdown.calls);
  const streams = createRunningCalls(options.shutdown.streams);
  const methods = new Map<string, ShortMethod>();
  for (const service of options.services) {
    const interceptors = options.interceptors(service);
    for (const spec of service.methods) {
      const path = `/${service.desc.typeName}/${spec.method.name}`;
      const codecs = createCodecs(spec.method, limits);
      methods.set(path, { path, spec, interceptors, codecs, running: spec.kind === "unary" ? unary : streams });
    }
  }
  return methods;
}
