import { z } from "zod";
import { EngineUnreachable } from "../engine-error.ts";
import { createHttpCaller, type HttpCaller } from "./http-get.ts";
import { type Metrics, parseMetrics } from "./metrics.ts";
import type { Endpoints } from "./render.ts";

/** What telemt says of itself. */
export interface SystemInfo {
  /** Such as `3.4.25`. */
  readonly version: string;
  /** SHA-256 of its main config file, in hex, as it lies on the disk now. */
  readonly configHash: string;
}

/** What telemt says of a user of its config files. */
export interface UserState {
  readonly name: string;
  /** The config in force has the user, too. */
  readonly inRuntime: boolean;
  readonly connections: number;
  /** Both directions. */
  readonly totalBytes: bigint;
}

/**
 * The control API and the metrics of a telemt. All calls throw {@link EngineUnreachable} when it does not answer, or
 * answers what cannot be understood.
 */
export class TelemtApi {
  readonly #control: HttpCaller;
  readonly #metrics: HttpCaller;

  constructor({ apiPort, metricsPort, authorization }: Endpoints) {
    this.#control = createHttpCaller(apiPort, { authorization });
    this.#metrics = createHttpCaller(metricsPort);
  }

  /** Resolves when it is alive. */
  async health(timeoutMs: number): Promise<void> {
    await this.#ask("/v1/health", anything, timeoutMs);
  }

  /** Why it cannot reach Telegram, or lets nobody in: `no_healthy_upstreams`. Undefined when all is well. */
  async whyNotReady(timeoutMs: number): Promise<string | undefined> {
    const { ready, reason = "no reason given" } = await this.#ask("/v1/health/ready", readiness, timeoutMs);
    return ready ? undefined : reason;
  }

  /** Whether it has opened its port and serves. */
  async isServing(): Promise<boolean> {
    return (await this.#ask("/v1/runtime/gates", gates)).startup_status === "ready";
  }

  async info(): Promise<SystemInfo> {
    const { version, config_hash } = await this.#ask("/v1/system/info", systemInfo);
    return { version, configHash: config_hash };
  }

  /** Undefined for one who is not in its config files. */
  async user(name: string): Promise<UserState | undefined> {
    const read = await this.#read(`/v1/users/${name}`, user, usualTimeoutMs);
    return read === "not found" ? undefined : read;
  }

  /** Everybody in its config files. It is much work: 0.2 s with 10,000 users. */
  users(): Promise<readonly UserState[]> {
    return this.#ask("/v1/users", z.array(user), longTimeoutMs);
  }

  /** Where users are connected from, by name. Who is not connected is absent. */
  async activeAddresses(): Promise<ReadonlyMap<string, readonly string[]>> {
    const active = await this.#ask("/v1/stats/users/active-ips", z.array(activeUser));
    return new Map(active.map(({ username, active_ips }) => [username, active_ips]));
  }

  async metrics(): Promise<Metrics> {
    const { status, body } = await this.#metrics.get("/metrics", longTimeoutMs);
    const read = status === 200 ? parseMetrics(body) : undefined;
    if (read === undefined) throw new EngineUnreachable("telemt answered /metrics with what are not its metrics");
    return read;
  }

  close(): void {
    this.#control.close();
    this.#metrics.close();
  }

  async #ask<T>(path: string, data: z.ZodType<T>, timeoutMs = usualTimeoutMs): Promise<T> {
    const read = await this.#read(path, data, timeoutMs);
    if (read === "not found") throw new EngineUnreachable(`telemt has no ${path}`);
    return read;
  }

  async #read<T>(path: string, data: z.ZodType<T>, timeoutMs: number): Promise<T | "not found"> {
    const { status, body } = await this.#control.get(path, timeoutMs);
    const answer = parseJson(body);
    // Not being ready is an answer, too.
    if (status === 200 || status === 503) {
      const { data: read } = z.object({ ok: z.literal(true), data }).safeParse(answer);
      if (read !== undefined) return read.data;
    }
    if (status === 200) throw new EngineUnreachable(`telemt answered ${path} with what cannot be understood`);
    const { data: refusal } = failure.safeParse(answer);
    if (status === 404 && refusal !== undefined) return "not found";
    throw new EngineUnreachable(`telemt refused ${path}: ${refusal?.error.message ?? `status ${status}`}`);
  }
}

const usualTimeoutMs = 3_000;
const longTimeoutMs = 30_000;

const anything = z.unknown();
const readiness = z.object({ ready: z.boolean(), reason: z.string().optional() });
const gates = z.object({ startup_status: z.string() });
const systemInfo = z.object({ version: z.string(), config_hash: z.string() });
const activeUser = z.object({ username: z.string(), active_ips: z.array(z.string()) });
const count = z.int().nonnegative();
const user = z
  .object({ username: z.string(), in_runtime: z.boolean(), current_connections: count, total_octets: count })
  .transform(
    ({ username, in_runtime, current_connections, total_octets }): UserState => ({
      name: username,
      inRuntime: in_runtime,
      connections: current_connections,
      totalBytes: BigInt(total_octets),
    }),
  );
const failure = z.object({ error: z.object({ message: z.string() }) });

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
