import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { engineOf, isAlive } from "../support/child-processes.ts";
import { grpcClient } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig } from "../support/proxy-protocols.ts";
import { type CompatNode, failureOf, startNode } from "./harness.ts";

/** Runs a test on a node of its own that was started with this keep_alive, in seconds. */
async function withKeepAlive(
  keepAlive: bigint,
  test: (node: CompatNode) => Promise<void>,
  variables: Record<string, string> = {},
): Promise<void> {
  const node = await startNode(variables);
  try {
    await node.grpc.start({ config: nodeConfig(await freePorts(4)), keepAlive });
    await test(node);
  } finally {
    await node.close();
  }
}

/** Whether the backend still runs after twelve seconds in which this was done every so often. */
async function survives(node: CompatNode, call: () => Promise<unknown>, everyMs: number): Promise<boolean> {
  const end = performance.now() + 12_000;
  while (performance.now() < end) {
    await call();
    await sleep(everyMs);
  }
  return (await node.grpc.info()).started;
}

describe.concurrent("keep_alive", { timeout: 60_000 }, () => {
  it("25. stops a backend that nobody asks for", () =>
    withKeepAlive(5n, async (node) => {
      const startedAt = performance.now();
      const engine = await engineOf(node.pid);
      await expect.poll(() => isAlive(engine), { timeout: 20_000, interval: 100 }).toBe(false);
      expect(performance.now() - startedAt).toBeGreaterThan(4_500);
      expect(performance.now() - startedAt).toBeLessThan(15_000);
      expect(await node.grpc.info()).toMatchObject({ started: false });
      expect(await failureOf(node.rest.backendStats())).toMatchObject({ text: "backend not initialized\n" });
    }));

  it("26. counts calls that succeed", () =>
    withKeepAlive(5n, async (node) => {
      expect(await survives(node, () => node.rest.info(), 2_000)).toBe(true);
    }));

  it("26. and 27. counts neither failing authentication nor an open log stream", () =>
    withKeepAlive(5n, async (node) => {
      const followed = Array.fromAsync(grpcClient(node).getLogs({})).catch(() => []);
      const strangers = () => node.request("GET", "/info", { "x-api-key": crypto.randomUUID() });
      expect(await survives(node, strangers, 1_000)).toBe(false);
      await followed;
    }));

  it("waits for the grace that the operator gives", () =>
    withKeepAlive(
      1n,
      async (node) => {
        const startedAt = performance.now();
        const engine = await engineOf(node.pid);
        await expect.poll(() => isAlive(engine), { timeout: 30_000, interval: 100 }).toBe(false);
        expect(performance.now() - startedAt).toBeGreaterThan(9_500);
        expect(performance.now() - startedAt).toBeLessThan(20_000);
        expect(node.log().match(/longer than keep_alive allows/g)).toHaveLength(1);
      },
      { GARRISON_KEEP_ALIVE: "grace:6" },
    ));

  it("stops nothing when the operator says never", () =>
    withKeepAlive(
      1n,
      async (node) => {
        expect(await survives(node, async () => undefined, 12_000)).toBe(true);
      },
      { GARRISON_KEEP_ALIVE: "never" },
    ));

  it("28. of 0 never stops anything", () =>
    withKeepAlive(0n, async (node) => {
      expect(await survives(node, async () => undefined, 12_000)).toBe(true);
    }));
});
