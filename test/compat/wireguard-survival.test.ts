import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { StatType } from "../../gen/service/node_pb.ts";
import { watchersOf } from "../engines/engine-under-test.ts";
import { isAlive } from "../support/child-processes.ts";
import { kernelHasWireGuard } from "../support/kernel-wireguard.ts";
import { startLossyRelay } from "../support/lossy-relay.ts";
import { mayMakeNamespaces } from "../support/network-namespace.ts";
import { bothCounted, countedBy, toldOf } from "../support/peer-bytes.ts";
import { statsWays } from "../support/stats-ways.ts";
import { type ConnectedPerson, startScene, type WireGuardScene } from "../support/wireguard-scene.ts";
import type { CompatNode } from "./harness.ts";

// WireGuard dies, the node dies, or a reply gets lost.

/** What the kernel runs does not die, and is found by the next node. */
const isProcess = !(await kernelHasWireGuard());

describe.skipIf(!(await mayMakeNamespaces()))("a node with WireGuard", () => {
  let scene: WireGuardScene;
  let anna: ConnectedPerson;
  afterEach(() => scene?.close());

  async function begin(variables: Record<string, string> = {}): Promise<void> {
    scene = await startScene(variables);
    anna = await scene.connect(scene.person(2));
    await scene.node.grpc.start(scene.backend([anna.user]));
    await carry();
  }
  const carry = (count = 3) => anna.traffic.datagrams({ ...scene.target.v4, count, bytes: 1_000 });
  /** Every process that drives the interface, by pid. */
  async function drivers(): Promise<number[]> {
    const pids = (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry)).map(Number);
    const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")));
    return pids.filter((_, index) => lines[index]?.includes(`wireguard-go\0-f\0${scene.name}\0`));
  }
  const links = () => scene.inside("ip", "-brief", "link", "show");
  /** What is told to have come through the interface; nothing while it is not there. */
  const received = async () => {
    const { stats } = await scene.node.grpc.stats({ type: StatType.Outbounds }).catch(() => ({ stats: [] }));
    return Number(stats.find(({ type }) => type === "downlink")?.value ?? 0n);
  };
  async function end(node: CompatNode, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    process.kill(node.pid, signal);
    await expect.poll(() => isAlive(node.pid), { timeout: 20_000, interval: 5 }).toBe(false);
  }
  const isStarted = (node: CompatNode) => async () => (await node.grpc.info()).started;

  it.skipIf(!isProcess)(
    "whose WireGuard is killed has it back with its peers, who are connected again by themselves, and counts on",
    async () => {
      await begin({ STATS_UPDATE_INTERVAL_SECONDS: "1" });
      const [dead = 0] = await drivers();
      await bothCounted(scene.node, anna);
      await sleep(1_500); // nobody asks for the interface's own bytes, but the node looks at them
      await anna.traffic.startPinging({ ...scene.target.v4, everyMs: 100, bytes: 100 });
      process.kill(dead, "SIGKILL");
      await expect.poll(drivers, { timeout: 5_000, interval: 20 }).not.toContain(dead);
      await expect.poll(isStarted(scene.node), { timeout: 10_000, interval: 20 }).toBe(true);
      await expect.poll(received, { timeout: 10_000, interval: 20 }).toBeGreaterThanOrEqual(3 * 1_028);
      // A client that gets no answer shakes hands again after a quarter of a minute.
      await expect
        .poll(
          () =>
            carry(1).then(
              () => true,
              () => false,
            ),
          { timeout: 30_000, interval: 100 },
        )
        .toBe(true);
      await anna.traffic.stopPinging();
      await carry(10);
      const [now, own] = [await toldOf(scene.node, anna), await countedBy(anna)];
      // What the node has sent has arrived, and is counted, but for what the dead one sent last; what was sent into the void is not.
      expect(now.sent).toBeLessThanOrEqual(own.sent);
      expect(now.sent).toBeGreaterThan(own.sent - 5_000);
      expect(now.received).toBeLessThan(own.received);
      expect(await drivers()).toHaveLength(1);
      expect(await watchersOf(dead)).toEqual([]);
    },
    60_000,
  );

  it("that is killed leaves no interface and no process, and the next one takes its rules away", async () => {
    const data = await mkdtemp(join(tmpdir(), "garrison-survival-"));
    onTestFinished(() => rm(data, { recursive: true }));
    scene = await startScene({ GARRISON_DATA_DIR: data });
    await scene.inside("ip", "route", "add", "default", "via", scene.network.outside.v4);
    const rules = () => scene.inside("nft", "list", "ruleset");
    const before = await rules();
    await scene.node.grpc.start(scene.backend([scene.person(2).user]));
    expect(await rules()).not.toBe(before);
    await end(scene.node, "SIGKILL");
    await expect.poll(drivers, { timeout: 5_000, interval: 20 }).toEqual([]);
    // The kernel takes it away a moment after the process that held it.
    if (isProcess) await expect.poll(links).not.toContain(scene.name);
    const next = await scene.startNode({ GARRISON_DATA_DIR: data });
    await expect.poll(rules, { timeout: 5_000, interval: 20 }).toBe(before);
    expect(await links()).not.toContain(scene.name);
    expect(await next.grpc.info()).toMatchObject({ started: false });
    // And runs as if nothing had been.
    expect(await next.rest.start(scene.backend([scene.person(2).user]))).toMatchObject({ started: true });
    expect((await scene.held()).peers).toHaveLength(1);
  });

  it.each(["SIGKILL", "SIGTERM"] as const)(
    "with GARRISON_RESUME=on outlives %s: no packet is lost, nobody shakes hands again, and the next one counts on",
    async (signal) => {
      const data = await mkdtemp(join(tmpdir(), "garrison-survival-"));
      onTestFinished(() => rm(data, { recursive: true }));
      await begin({ GARRISON_DATA_DIR: data, GARRISON_RESUME: "on" });
      const handshake = (await anna.peer.state()).lastHandshake;
      const running = await drivers();
      await anna.traffic.startPinging({ ...scene.target.v4, everyMs: 50, bytes: 100 });
      expect((await toldOf(scene.node, anna)).sent).toBeGreaterThan(0);
      await end(scene.node, signal);
      await sleep(300);
      const next = await scene.startNode({ GARRISON_DATA_DIR: data, GARRISON_RESUME: "on" });
      await expect.poll(isStarted(next), { timeout: 10_000, interval: 20 }).toBe(true);
      await next.rest.syncUser(scene.person(3).user);
      const [pinged] = await anna.traffic.stopPinging();
      expect(pinged?.lost).toEqual([]);
      expect((await anna.peer.state()).lastHandshake).toBe(handshake);
      expect(await drivers()).toEqual(running);
      expect((await scene.held()).peers).toHaveLength(2);
      await bothCounted(next, anna);
      await next.grpc.stop();
      expect(await links()).not.toContain(scene.name);
      await expect.poll(drivers, { timeout: 5_000, interval: 20 }).toEqual([]);
    },
  );

  it.each(statsWays.filter(({ name }) => name === "gRPC" || name === "REST over HTTP/1.1"))(
    "tells the bytes of a reply over $name that was lost once more",
    async ({ open }) => {
      await begin();
      const relay = await startLossyRelay(new URL(scene.node.url));
      const header = { "x-api-key": scene.node.key };
      const [line, direct] = [open(relay.url, header), open(scene.node.url, header)];
      onTestFinished(async () => {
        line.close();
        direct.close();
        await relay.close();
      });
      await line.read();
      await sleep(50); // for the acknowledgement
      const before = await countedBy(anna);
      await carry(20);
      const after = await bothCounted(scene.node, anna, { since: before });
      const carried = BigInt(after.received - before.received + after.sent - before.sent);
      const swallowed = relay.swallowAfter(0);
      const failure = line.read().then(
        () => "answered",
        () => "failed",
      );
      await swallowed;
      await sleep(50);
      // While it is on its way nobody else is told.
      expect(await direct.read()).toBe(0n);
      relay.reset();
      expect(await failure).toBe("failed");
      await expect.poll(() => direct.read(), { timeout: 5_000, interval: 50 }).toBe(carried);
      expect(await direct.read()).toBe(0n);
    },
  );
});
