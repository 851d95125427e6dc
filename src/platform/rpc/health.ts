import { create, type DescService } from "@bufbuild/protobuf";
import { Code, type HandlerContext } from "@connectrpc/connect";
import {
  Health,
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Status,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import { PublicError } from "./public-error.ts";
import { type ServedService, serveService } from "./served-service.ts";

/** Whether the process serves, as balancers and supervisors ask it. */
export interface HealthState {
  readonly serving: boolean;
  /** Says so from now on to everyone who watches. */
  set(serving: boolean): void;
}

/** A state whose changes can be waited for. */
export interface WatchableHealth extends HealthState {
  /** Resolves at the next change, or when the signal aborts. */
  changed(signal: AbortSignal): Promise<void>;
}

/** Makes the state of a process that serves. */
export function createHealthState(): WatchableHealth {
  let serving = true;
  let next = Promise.withResolvers<void>();
  return {
    get serving() {
      return serving;
    },
    set(value) {
      if (value === serving) return;
      serving = value;
      next.resolve();
      next = Promise.withResolvers();
    },
    changed(signal) {
      const { promise, resolve } = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => resolve(), { once: true });
      return Promise.race([next.promise, promise]);
    },
  };
}

/**
 * `grpc.health.v1.Health` over the state of the process, which all its services share. Check answers without a
 * credential and says nothing but the state.
 */
export function serveHealth(state: WatchableHealth, services: readonly DescService[]): ServedService {
  const known = new Set(["", ...services.map(({ typeName }) => typeName)]);
  const current = (): HealthCheckResponse =>
    create(HealthCheckResponseSchema, { status: state.serving ? Status.SERVING : Status.NOT_SERVING });
  return serveService(
    Health,
    {
      check(request) {
        if (!known.has(request.service)) {
          throw new PublicError(
            "unknown service: ask with an empty name, or with one that reflection lists",
            Code.NotFound,
          );
        }
        return current();
      },
      list: () => ({ statuses: Object.fromEntries([...known].map((name) => [name, current()])) }),
      async *watch(request: HealthCheckRequest, context: HandlerContext) {
        // The protocol wants SERVICE_UNKNOWN here, not an error: the service might appear.
        yield known.has(request.service)
          ? current()
          : create(HealthCheckResponseSchema, { status: Status.SERVICE_UNKNOWN });
        while (!context.signal.aborted) {
          await state.changed(context.signal);
          if (!context.signal.aborted && known.has(request.service)) yield current();
        }
      },
    },
    { validated: false, isPublic: (method) => method.name === "Check" },
  );
}
