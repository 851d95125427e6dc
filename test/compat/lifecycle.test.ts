import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { BackendType, User } from "../../gen/service/node_pb.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { childrenOf, engineOf, enginesOf } from "../support/child-processes.ts";
import type { NodeCaller } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { answers } from "../support/proxy-client.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { admitted } from "../support/users-online.ts";
import { type CompatNode, failureOf, startNode } from "./harness.ts";

let node: CompatNode;
let target: ByteTarget;
let ports: number[];
beforeAll(async () => {
  [node, target, ports] = await Promise.all([startNode(), startByteTarget(), freePorts(4)]);
});
afterEach(() => node.grpc.stop().catch(() => undefined)); // not every test leaves a backend
afterAll(() => Promise.all([node.close(), target.close()]));

const over: [string, () => NodeCaller][] = [
  ["gRPC", () => node.grpc],
  ["REST", () => node.rest],
];
const config = () => nodeConfig(ports);
const notInitialized = "backend not initialized";

/** Whether this user gets through on the VLESS inbound. */
async function getsThrough(user: User): Promise<boolean> {
  const [protocol] = proxyProtocols;
  if (protocol === undefined) throw new Error("no protocol");
  const [through = false] = await admitted([{ protocol, port: ports[0] ?? 0, user }], target);
  return through;
}

/** Looks again and again whether somebody listens on a port. Its close tells for how long, in milliseconds, nobody did. */
function watchPort(port: number): { close(): Promise<number> } {
  let downMs = 0;
  let closing = false;
  const watching = (async () => {
    for (let last = performance.now(); !closing; await sleep(2)) {
      const isUp = await answers(port);
      const now = performance.now();
      if (!isUp) downMs += now - last;
      last = now;
    }
  })();
  return {
    async close() {
      closing = true;
      await watching;
      return downMs;
    },
  };
}

describe("before Start", () => {
  it("14. the node tells that nothing runs, and its own version", async () => {
    for (const info of [await node.grpc.info(), await node.rest.info()]) {
      expect(info).toMatchObject({
        started: false,
        coreVersion: "",
        nodeVersion: expect.stringMatching(/^\d+\.\d+\.\d+/),
      });
    }
  });

  it("15. and 87. calls that need a backend say so: REST 500, gRPC Unavailable", async () => {
    expect(await failureOf(node.rest.backendStats())).toEqual({ status: 500, text: `${notInitialized}\n` });
    expect(await failureOf(node.grpc.backendStats())).toEqual({ code: Code.Unavailable, text: notInitialized });
    const chunk = { last: true, users: [userOf("1", "vless")] };
    expect(await failureOf(node.rest.syncChunked(chunk))).toEqual({ status: 500, text: `${notInitialized}\n` });
    expect(await failureOf(node.grpc.syncChunked(chunk))).toEqual({ code: Code.Unavailable, text: notInitialized });
  });
});

describe("Start and Stop", () => {
  it("17. and 24. Start serves its users; Stop ends that", async () => {
    const users = [userOf("1", "vless"), userOf("2", "vmess")];
    const started = await node.grpc.start({ config: config(), users });
    expect(started).toMatchObject({ started: true, coreVersion: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
    expect(started.nodeVersion).not.toBe("");
    expect(await getsThrough(userOf("1"))).toBe(false);
    expect(await getsThrough(users[0] ?? userOf("1"))).toBe(true);
    expect(await node.rest.backendStats()).toMatchObject({ uptime: expect.any(Number) });
    expect(await node.rest.info()).toMatchObject({ started: true });

    await node.rest.stop();
    expect(await Promise.all(ports.map(answers))).toEqual([false, false, false, false]);
    await expect.poll(() => childrenOf(node.pid)).toEqual([]);
    expect(await failureOf(node.rest.stop())).toEqual({ status: 500, text: `${notInitialized}\n` });
    expect(await failureOf(node.grpc.stop())).toEqual({ code: Code.Unavailable, text: notInitialized });
    expect(await node.grpc.info()).toMatchObject({ started: false, coreVersion: "" });
  });

  it.each<[string, string, RegExp]>([
    ["no JSON", "{", /JSON/],
    ["no object", "[]", /./],
    ["garbage", "\0\ufffd💥", /./],
    ["nothing", "", /./],
    ["an unknown protocol", '{"inbounds":[{"protocol":"carrier-pigeon","port":1}]}', /carrier-pigeon/],
    ["a port that is none", '{"inbounds":[{"protocol":"vless","port":"http"}]}', /./],
  ])("18. a config that is %s is refused with the reason: gRPC Unknown, REST 503", async (_, bad, reason) => {
    const grpc = await failureOf(node.grpc.start({ config: bad }));
    expect(grpc).toMatchObject({ code: Code.Unknown, text: expect.stringMatching(reason) });
    const rest = await failureOf(node.rest.start({ config: bad }));
    expect(rest).toMatchObject({ status: 503, text: expect.stringMatching(reason) });
    expect(await node.grpc.info()).toMatchObject({ started: false });
    expect(await failureOf(node.rest.backendStats())).toMatchObject({ status: 500, text: `${notInitialized}\n` });
    await expect.poll(() => childrenOf(node.pid)).toEqual([]);
  });

  it("18. a bad config leaves a running engine, its users and their connections alone", async () => {
    const user = userOf("1", "vless");
    await node.grpc.start({ config: config(), users: [user] });
    const engine = await engineOf(node.pid);
    for (const bad of ["{", "", '{"inbounds":[{"protocol":"carrier-pigeon","port":1}]}']) {
      expect(await failureOf(node.grpc.start({ config: bad }))).toMatchObject({ code: Code.Unknown });
      expect(await failureOf(node.rest.start({ config: bad }))).toMatchObject({ status: 503 });
    }
    expect(await getsThrough(user)).toBe(true);
    expect(await engineOf(node.pid)).toBe(engine);
    expect(await node.rest.info()).toMatchObject({ started: true });
  });

  it("19. a port that is taken is said in Xray's own words, and the engine before comes back", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const port = (taken.address() as { port: number }).port;
    const bad = nodeConfig([port, ...ports.slice(1)]);
    const refused = { code: Code.Unknown, text: expect.stringContaining("address already in use") };
    expect(await failureOf(node.grpc.start({ config: bad }))).toMatchObject(refused);
    expect(await node.grpc.info()).toMatchObject({ started: false });

    const user = userOf("1", "vless");
    await node.grpc.start({ config: config(), users: [user] });
    expect(await failureOf(node.grpc.start({ config: bad }))).toMatchObject(refused);
    expect(await node.grpc.info()).toMatchObject({ started: true });
    expect(await getsThrough(user)).toBe(true);
    taken.close();
  });

  it.each(over)(
    "19. where the engine must restart, a taken port costs two starts and 0.3 s at most, over %s",
    async (_, caller) => {
      const user = userOf("1", "vless");
      const begun = performance.now();
      await caller().start({ config: config(), users: [user] });
      const startMs = performance.now() - begun;
      const taken = createServer().listen(0, "127.0.0.1");
      await once(taken, "listening");
      const port = (taken.address() as { port: number }).port;
      // Xray reads the resolver only when it starts, and finds the port taken when it has ended what ran before.
      const bad = JSON.stringify({
        ...JSON.parse(nodeConfig([...ports.slice(0, 3), port])),
        dns: { servers: ["localhost"] },
      });
      const watch = watchPort(ports[0] ?? 0);
      const { text } = await failureOf(caller().start({ config: bad, users: [user] }));
      expect(text).toMatch(/address already in use/);
      const outageMs = await watch.close();
      expect(outageMs).toBeGreaterThan(0);
      expect(outageMs).toBeLessThan(2 * startMs + 300);
      expect(await caller().info()).toMatchObject({ started: true });
      expect(await getsThrough(user)).toBe(true);
      taken.close();
    },
  );

  it("20. an unknown type of backend is refused", async () => {
    const request = { type: 7 as BackendType, config: config() };
    expect(await failureOf(node.grpc.start(request))).toEqual({ code: Code.Unknown, text: "invalid backend type" });
    expect(await failureOf(node.rest.start(request))).toEqual({ status: 503, text: "invalid backend type\n" });
  });

  it("21. a REST Start with garbage is 400", async () => {
    const answer = await node.request("POST", "/start", undefined, Buffer.from("not a message"));
    expect(answer.status).toBe(400);
  });

  it("22. and 44. the same Start again keeps the engine", async () => {
    await node.grpc.start({ config: config(), users: [userOf("1", "vless")] });
    const engine = await engineOf(node.pid);
    await node.rest.start({ config: config(), users: [userOf("2", "vless")] });
    expect(await engineOf(node.pid)).toBe(engine);
  });

  it("23. parallel Starts are all answered and leave one engine", async () => {
    const started = await Promise.all(
      [node.grpc, node.rest, node.grpc].map((caller, i) =>
        caller.start({ config: config(), users: [userOf(String(i), "vless")] }),
      ),
    );
    expect(started.map((info) => info.started)).toEqual([true, true, true]);
    const engine = await engineOf(node.pid);
    await sleep(3_000);
    expect(await engineOf(node.pid)).toBe(engine);
  });

  it.each(over)("95. a Start with another config replaces what runs, over %s", async (_, caller) => {
    await caller().start({ config: config() });
    const [elsewhere = 0] = await freePorts(1);
    await caller().start({ config: nodeConfig([elsewhere, ...ports.slice(1)]) });
    expect(await answers(elsewhere)).toBe(true);
    expect(await answers(ports[0] ?? 0)).toBe(false);
    expect(await enginesOf(node.pid)).toHaveLength(1);
  });

  it.each(over)("91. a sync right behind the Start reply is applied, over %s", async (_, caller) => {
    await caller().start({ config: config() });
    await caller().stop();
    const user = userOf("1", "vless");
    const start = caller().start({ config: config() });
    await start.then(() => caller().syncChunked({ last: true, users: [user] }));
    expect(await getsThrough(user)).toBe(true);
  });

  it("92. a Start that waits for a Stop to end counts: the core is not started yet, and another Stop ends it", async () => {
    await node.grpc.start({ config: config() });
    const pid = await engineOf(node.pid);
    process.kill(pid, "SIGSTOP"); // the first Stop takes some seconds
    const stopped = node.grpc.stop();
    await expect.poll(() => node.grpc.info()).toMatchObject({ started: false });
    const start = failureOf(node.grpc.start({ config: config() }));
    await sleep(100);
    expect((await failureOf(node.grpc.backendStats())).text).toBe("core is not started yet");
    const stoppedAgain = node.grpc.stop();
    await sleep(100);
    process.kill(pid, "SIGCONT");
    await Promise.all([stopped, stoppedAgain]);
    expect((await start).text).toBe("stopped while xray was starting");
    expect((await failureOf(node.grpc.backendStats())).text).toBe(notInitialized);
  });
});
