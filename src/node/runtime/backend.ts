import type { BackendStatsResponse, BackendType } from "../../../gen/service/node_pb.ts";
import type { Logger } from "../../platform/telemetry/log.ts";
import type { Engine, EngineEvents, EngineState, TrafficKind } from "../engines/engine.ts";
import { EngineNotRunning } from "../engines/engine-error.ts";
import type { Clock } from "./clock.ts";
import { createKeepAlive, type KeepAlive } from "./keep-alive.ts";
import type { CounterKeeper } from "./kept-counters.ts";
import type { LogRing } from "./log-ring.ts";
import { shareRuns } from "./share-runs.ts";
import { BackendNotInitialized, CoreNotStarted } from "./situations.ts";
import { createVirtualCounters, type VirtualCounters } from "./virtual-counters.ts";

/** A kind of backend that a runtime can start. */
export interface BackendKind {
  readonly type: BackendType;
  /** Such as `xray`. */
  readonly name: string;
  /** Makes its engine, or what loads it when it is first wanted; it tells its events to the runtime. */
  readonly engine:
    | { readonly make: (events: EngineEvents) => Engine }
    | {
        readonly load: (events: EngineEvents) => Promise<Engine>;
        /** An earlier process of this node may have left something of it, so that it is wanted at once. */
        readonly isLeft: boolean;
      };
  /** Where its counters are kept that outlive this process; undefined: nowhere. The backend closes it. */
  readonly counterKeeper?: CounterKeeper | undefined;
}

/** One engine of a runtime, with all that belongs to it alone. */
export interface BackendEngine {
  readonly type: BackendType;
  /** Such as `xray`. */
  readonly name: string;
  readonly state: EngineState;
  /** It was started, and not stopped since: it runs, or is on its way up or back. */
  readonly isActive: boolean;
  /** Undefined until it is first wanted. */
  readonly engine: Engine | undefined;
  /** Counters that callers may reset. */
  readonly counters: VirtualCounters;
  readonly keepAlive: KeepAlive;
  /** The engine, which is made when there is none yet. */
  open(): Promise<Engine>;
  /** Has the counters of a kind up to date. Whoever asks while it is done shares it. Throws what the engine throws. */
  observe(kind: TrafficKind): Promise<void>;
  /** Measures of the engine's process; whoever asks while it is asked shares the answer. Throws like {@link whileRunning}. */
  sysStats(): Promise<BackendStatsResponse>;
  /** Does something that starts the engine. */
  whileStarting<T>(start: (engine: Engine) => Promise<T>): Promise<T>;
  /** Calls an engine that answers; throws {@link BackendNotInitialized}, {@link CoreNotStarted} and what it throws. */
  whileRunning<T>(call: (engine: Engine) => Promise<T>): Promise<T>;
  /** Takes up what an earlier process of this node has left. */
  recover(): Promise<void>;
  /** Stops it for good, after a last look at its counters where they are kept. */
  close(): Promise<void>;
}

/** Options of {@link createBackend}. */
export interface BackendOptions {
  readonly kind: BackendKind;
  readonly clock: Clock;
  readonly keepAliveGraceMs: number | undefined;
  /** Where the engine's lines go. */
  readonly lines: Pick<LogRing, "push">;
  /** It has stopped. */
  readonly stopped: () => void;
  readonly log: Logger;
}

const ownWords = "[garrison] ";

/** Makes a backend that is not started. */
export function createBackend({ kind, clock, lines, stopped, log, ...options }: BackendOptions): BackendEngine {
  const { type, name, counterKeeper: keeper } = kind;
  const counters = createVirtualCounters({
    initial: keeper?.initial,
    changed: keeper && ((changed) => keeper.note(changed, counters.state)),
  });
  const events: EngineEvents = {
    line(text) {
      lines.push(text);
      // What is said of its running, and not by it, is for the operator as well.
      if (text.startsWith(ownWords)) log.warn(text.slice(ownWords.length));
    },
    stateChanged(state) {
      log.info({ engine: name, state }, "engine");
      if (state === "stopped") stopped();
    },
    exited: ({ code, signal, restartInMs, lastLines }) => {
      log.warn({ engine: name, code, signal, restartInMs }, "engine exited");
      log.debug({ engine: name, lastLines }, "last lines of the engine");
    },
    restarted: () => log.info({ engine: name }, "engine is back"),
    drained: counters.observeLast,
  };
  let engine: Engine | undefined = "make" in kind.engine ? kind.engine.make(events) : undefined;
  let loading: Promise<Engine> | undefined;
  let startsUnderWay = 0;

  const open = async (): Promise<Engine> => {
    if (engine !== undefined || "make" in kind.engine) return required();
    loading ??= kind.engine.load(events).catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
    engine = await loading;
    return engine;
  };
  const required = () => {
    if (engine === undefined) throw new BackendNotInitialized();
    return engine;
  };
  const state = () => engine?.state ?? "stopped";
  // A start may still wait for a stop to end.
  const isActive = () => state() !== "stopped" || startsUnderWay > 0;
  const requireRunning = () => {
    if (!isActive()) throw new BackendNotInitialized();
    if (state() !== "running") throw new CoreNotStarted();
    return required();
  };
  const look = (of: TrafficKind) => shareRuns(() => required().readTraffic(of).then(counters.observe));
  const looks = { user: look("user"), inbound: look("inbound"), outbound: look("outbound") };
  const whileRunning = async <T>(call: (engine: Engine) => Promise<T>): Promise<T> => {
    try {
      return await call(requireRunning());
    } catch (error) {
      if (!(error instanceof EngineNotRunning)) throw error;
      requireRunning();
      throw new CoreNotStarted(); // it went away, and is back already
    }
  };
  const keepAlive = createKeepAlive({
    clock,
    graceMs: options.keepAliveGraceMs,
    busy: () => startsUnderWay > 0,
    expired() {
      log.warn({ engine: name }, "nobody called for longer than keep_alive allows: stopping the backend");
      engine?.stop().catch((err: unknown) => log.error({ err }, "the backend could not be stopped"));
    },
  });
  return {
    ...{ type, name, counters, keepAlive, open },
    get state() {
      return state();
    },
    get isActive() {
      return isActive();
    },
    get engine() {
      return engine;
    },
    observe: (of) => looks[of](),
    // Panels and their replicas ask all the time, and an engine's answer costs more than a caller's.
    sysStats: shareRuns(() => whileRunning((running) => running.sysStats())),
    async whileStarting(start) {
      startsUnderWay += 1;
      try {
        return await start(await open());
      } finally {
        startsUnderWay -= 1;
      }
    },
    whileRunning,
    async recover() {
      if ("load" in kind.engine && !kind.engine.isLeft) return;
      const recovered = await (await open()).recover();
      if (recovered !== undefined) keepAlive.arm(recovered.keepAlive);
    },
    async close() {
      keepAlive.disarm();
      await loading?.catch(() => undefined);
      if (keeper !== undefined && engine !== undefined)
        await Promise.allSettled(Object.values(looks).map((each) => each()));
      await engine?.close();
      await keeper?.close(counters.state());
    },
  };
}
