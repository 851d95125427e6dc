import { CompiledQuery, type QueryExecutorProvider } from "kysely";
import pg from "pg";
import { type EventBus, encodeEvent, type Subscriber, type Subscription } from "../event-bus.ts";
import type { StorageLog, Subscribers } from "../subscribers.ts";
import { backoffMs, type Timing } from "../timing.ts";
import type { PostgresDriver } from "./driver.ts";

/** Options of {@link PostgresEventBus}. */
export interface PostgresEventBusOptions {
  /** Whose connections publish outside of transactions. */
  driver: PostgresDriver;
  /** How to connect for listening. */
  config: pg.ClientConfig;
  /** The channel that carries all topics; at most 63 bytes. */
  channel: string;
  subscribers: Subscribers;
  timing: Timing;
  log: StorageLog;
}

/**
 * The bus of all processes that use one PostgreSQL database. From the first subscription on it keeps a connection of its
 * own, which it makes again when it is lost, and asks for a sign of life.
 */
export class PostgresEventBus implements EventBus {
  readonly #options: PostgresEventBusOptions;
  readonly #closing = new AbortController();
  #loop: Promise<void> | undefined;
  #listening = false;

  constructor(options: PostgresEventBusOptions) {
    this.#options = options;
  }

  async publish(topic: string, payload: string, tx?: QueryExecutorProvider): Promise<void> {
    const { driver, channel } = this.#options;
    const query = CompiledQuery.raw("select pg_notify($1, $2)", [channel, encodeEvent(topic, payload)]);
    if (tx !== undefined) {
      await tx.getExecutor().executeQuery(query);
      return;
    }
    const connection = await driver.acquireConnection();
    try {
      await connection.executeQuery(query);
    } finally {
      connection.release();
    }
  }

  subscribe(topic: string, subscriber: Subscriber): Subscription {
    const subscription = this.#options.subscribers.add(topic, subscriber, this.#listening);
    this.#loop ??= this.#listenUntilClosed();
    return subscription;
  }

  /** Ends all subscriptions and the connection. */
  async close(): Promise<void> {
    this.#options.subscribers.close();
    this.#closing.abort();
    await this.#loop;
  }

  async #listenUntilClosed(): Promise<void> {
    const { timing, log } = this.#options;
    const { signal } = this.#closing;
    let attempt = 0;
    while (!signal.aborted) {
      try {
        await this.#listen(() => {
          attempt = 0;
        });
      } catch (error) {
        if (!signal.aborted) {
          log.warn({ err: error }, "events are not heard until the connection to the database is back");
        }
      }
      await timing.sleep(backoffMs(attempt++, timing.random(), 50, 5_000), signal).catch(() => undefined);
    }
  }

  /** Listens until the connection is lost or the bus is closed, which it reports by throwing. */
  async #listen(onListening: () => void): Promise<never> {
    const { config, channel, subscribers, timing } = this.#options;
    const client = new pg.Client({ ...config, query_timeout: signOfLifeTimeoutMs });
    const lost = new AbortController();
    const ended = AbortSignal.any([lost.signal, this.#closing.signal]);
    // Without saying goodbye: the other side may be gone, and then a farewell is waited for in vain.
    const hangUp = () => client.connection.stream.destroy();
    ended.addEventListener("abort", hangUp);
    client.on("error", (error) => lost.abort(error));
    client.on("end", () => lost.abort(new Error("the server closed the connection")));
    client.on("notification", ({ payload }) => subscribers.deliver(payload ?? ""));
    try {
      await client.connect();
      await client.query(`listen "${channel}"`);
      this.#listening = true;
      onListening();
      subscribers.resync();
      for (;;) {
        await timing.sleep(signOfLifeEveryMs, ended);
        await client.query("select 1");
      }
    } catch (error) {
      throw lost.signal.aborted ? lost.signal.reason : error;
    } finally {
      this.#listening = false;
      hangUp();
    }
  }
}

/** A connection that was cut without a word looks quiet: only a question tells. */
const signOfLifeEveryMs = 15_000;
const signOfLifeTimeoutMs = 5_000;
