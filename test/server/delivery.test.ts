import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { NodeService } from "../../gen/service/node_pb.ts";
import { kDelivery } from "../../src/platform/rpc/call-context.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";
import { createServer, type Server } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { pair } from "../listener/support.ts";
import { type LossyRelay, startLossyRelay } from "../support/lossy-relay.ts";
import { type StatsLine, statsWays } from "../support/stats-ways.ts";

type Outcome = "delivered" | "lost";

/** What each call of the running test was told. */
let outcomes: Outcome[][] = [];
/** What the handler does before it answers. */
let before: (context: HandlerContext) => Promise<void> = async () => undefined;
/** What an interceptor does behind the handler. */
let behind: () => void = () => undefined;
let replyBytes = 100;

const intervene: Interceptor = (next) => async (request) => {
  const response = await next(request);
  behind();
  return response;
};

function ask({ values }: HandlerContext) {
  const told: Outcome[] = [];
  outcomes.push(told);
  values.get(kDelivery).watch({ delivered: () => told.push("delivered"), lost: () => told.push("lost") });
}

const service = serveService(
  NodeService,
  {
    async getStats(_request, context) {
      ask(context);
      await before(context);
      return { stats: [{ name: randomBytes(replyBytes / 2).toString("hex"), value: 7n }] };
    },
  },
  { validated: false, interceptors: [intervene] },
);

async function serve(options: { tls: boolean; shortPath: boolean }): Promise<Server> {
  return createServer({
    services: [service],
    gate: () => undefined,
    host: "127.0.0.1",
    port: 0,
    shortPath: options.shortPath,
    ...(options.tls && { tls: { pair } }),
    log: createLog("test", "silent"),
    metrics: createMetrics("test"),
  });
}

const known = (...expected: Outcome[]) =>
  vi.waitFor(() => expect(outcomes).toEqual(expected.map((outcome) => [outcome])), { timeout: 5_000, interval: 5 });

describe.each([
  { name: "TLS, short path", tls: true, shortPath: true },
  { name: "plain, short path", tls: false, shortPath: true },
  { name: "plain, router", tls: false, shortPath: false },
])("the reply of a call ($name)", (options) => {
  let server: Server;
  let relay: LossyRelay;
  const lines: StatsLine[] = [];

  beforeAll(async () => {
    server = await serve(options);
    relay = await startLossyRelay(new URL(server.url));
  });
  afterEach(async () => {
    for (const line of lines.splice(0)) line.close();
    await delay(10);
    // Whatever has happened, nobody was told twice.
    for (const told of outcomes) expect(told.length).toBeLessThan(2);
    outcomes = [];
    before = async () => undefined;
    behind = () => undefined;
    replyBytes = 100;
    relay.reset();
  });
  afterAll(async () => {
    await relay.close();
    await server.close();
  });

  describe.each(statsWays)("$name", ({ name, http, open }) => {
    const line = () => {
      const opened = open(relay.url, {});
      lines.push(opened);
      return opened;
    };

    test("is delivered", async () => {
      const client = line();
      replyBytes = 300_000;
      expect(await client.read()).toBe(7n);
      if (http === 1) {
        await delay(20);
        expect(outcomes).toEqual([[]]);
        await client.read();
        await vi.waitFor(() => expect(outcomes).toEqual([["delivered"], []]));
        client.close();
        await known("delivered", "delivered");
      } else {
        await known("delivered");
        relay.reset();
        await delay(10);
        await known("delivered");
      }
    });

    // Clients of connect-node do not leave in peace over HTTP/2: they cut.
    if (http === 1 || name.startsWith("REST")) {
      test("is delivered to a client that leaves in peace", async () => {
        const client = line();
        await client.read();
        // Over HTTP/2 it says goodbye before it is answered: no PING goes through any more.
        if (http === 2) before = async () => client.close();
        await client.read();
        client.close();
        await known("delivered", "delivered");
      });
    }

    test("is lost when the line swallows it and is then cut", async () => {
      const client = line();
      await client.read();
      await delay(http === 1 ? 0 : 20);
      const swallowed = relay.swallowAfter(0);
      const reading = client.read().catch((error: unknown) => error);
      await swallowed;
      await delay(20);
      expect(outcomes[1]).toEqual([]);
      relay.reset();
      expect(await reading).toBeInstanceOf(Error);
      await known("delivered", "lost");
    });

    test("is lost when the line is cut in the middle of it", async () => {
      const client = line();
      await client.read();
      await delay(http === 1 ? 0 : 20);
      replyBytes = 300_000;
      const swallowed = relay.swallowAfter(10_000);
      const reading = client.read().catch((error: unknown) => error);
      await swallowed;
      relay.reset();
      expect(await reading).toBeInstanceOf(Error);
      await known("delivered", "lost");
    });

    test("is lost when the line is cut before it", async () => {
      const client = line();
      const cut = Promise.withResolvers<void>();
      before = async () => {
        relay.reset();
        await delay(20);
        cut.resolve();
      };
      const reading = client.read().catch((error: unknown) => error);
      await cut.promise;
      expect(await reading).toBeInstanceOf(Error);
      await known("lost");
    });

    test("is lost when the handler fails, and when an interceptor does behind it", async () => {
      const client = line();
      before = () => Promise.reject(new ConnectError("not today", Code.Unavailable));
      await expect(client.read()).rejects.toThrow();
      before = async () => undefined;
      behind = () => {
        throw new ConnectError("nor tomorrow", Code.Unavailable);
      };
      await expect(client.read()).rejects.toThrow();
      await known("lost", "lost");
    });

    test("is asked for too late once the call has failed", async () => {
      const client = line();
      const failed = Promise.withResolvers<HandlerContext>();
      before = (context) => {
        failed.resolve(context);
        return Promise.reject(new ConnectError("not today", Code.Unavailable));
      };
      await expect(client.read()).rejects.toThrow();
      ask(await failed.promise);
      expect(outcomes[1]).toEqual(["lost"]);
    });
  });
});
