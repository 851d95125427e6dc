import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Backend, BackendSchema, type User } from "../../gen/service/node_pb.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { childrenOf, engineOf, isAlive } from "../support/child-processes.ts";
import { grpcClient } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { admitted } from "../support/users-online.ts";
import { xrayPath } from "../xray-path.ts";
import { type CompatNode, failureOf, startNode } from "./harness.ts";

let target: ByteTarget;
let ports: number[];
let directory: string;
const nodes: CompatNode[] = [];
beforeEach(async () => {
  [target, ports, directory] = await Promise.all([
    startByteTarget(),
    freePorts(4),
    mkdtemp(join(tmpdir(), "garrison-compat-")),
  ]);
});
afterEach(async () => {
  await Promise.all([target.close(), ...nodes.splice(0).map((node) => node.close())]);
  await rm(directory, { recursive: true });
});

async function start(variables?: Record<string, string>): Promise<CompatNode> {
  const node = await startNode(variables);
  nodes.push(node);
  return node;
}

/** An Xray that first does this, as a line of shell. */
async function xrayAfter(line: string): Promise<Record<string, string>> {
  const script = join(directory, "xray");
  await writeFile(script, `#!/bin/sh\n${line}\nexec '${await xrayPath()}' "$@"\n`);
  await chmod(script, 0o755);
  return { XRAY_EXECUTABLE_PATH: script };
}

async function throughVless(...users: User[]): Promise<boolean[]> {
  const protocol = proxyProtocols[0];
  if (protocol === undefined) throw new Error("no protocol");
  return admitted(
    users.map((user) => ({ protocol, port: ports[0] ?? 0, user })),
    target,
  );
}

/** Starts a node over REST. Rejects when the signal aborts before the answer. */
async function startOverRest(node: CompatNode, backend: Backend, signal: AbortSignal): Promise<void> {
  const call = request(new URL("/start", node.url), {
    method: "POST",
    ca: node.ca,
    headers: { "x-api-key": node.key, "content-type": "application/x-protobuf" },
    agent: false,
    signal,
  });
  call.end(toBinary(BackendSchema, backend));
  await once(call, "response");
}

it("29. and 52. a killed engine is back with its users, synced ones too", async () => {
  const node = await start();
  const [first, second] = [userOf("1", "vless"), userOf("2", "vless")];
  await node.grpc.start({ config: nodeConfig(ports), users: [first] });
  await node.grpc.syncUser(second);
  const engine = await engineOf(node.pid);
  process.kill(engine, "SIGKILL");
  const said = new Set<string>();
  const backAgain = async () => {
    const failure = await failureOf(node.grpc.backendStats()).catch(() => undefined);
    if (failure !== undefined) said.add(failure.text);
    return failure === undefined && (await engineOf(node.pid)) !== engine;
  };
  await expect.poll(backAgain, { interval: 5, timeout: 10_000 }).toBe(true);
  expect([...said].filter((text) => !/^(core is not started yet$|failed to get sys stats)/.test(text))).toEqual([]);
  expect(await throughVless(first, second)).toEqual([true, true]);
});

it("30. SIGTERM ends the node and its engine, with a log stream open", async () => {
  const node = await start();
  await node.grpc.start({ config: nodeConfig(ports) });
  const children = await childrenOf(node.pid);
  const followed = Promise.all([
    Array.fromAsync(grpcClient(node).getLogs({})).catch(() => []),
    node.request("GET", "/logs").catch(() => undefined),
    node.request("GET", "/logs", { "x-api-key": node.key, accept: "text/event-stream" }).catch(() => undefined),
  ]);
  await sleep(100);
  const signalledAt = performance.now();
  await node.close();
  nodes.length = 0;
  expect(performance.now() - signalledAt).toBeLessThan(1_000);
  await followed;
  await expect.poll(async () => (await Promise.all(children.map(isAlive))).includes(true)).toBe(false);
});

it.each<[string, (node: CompatNode, backend: Backend, signal: AbortSignal) => Promise<unknown>]>([
  ["gRPC", (node, backend, signal) => grpcClient(node).start(backend, { signal })],
  ["REST", startOverRest],
])(
  "31., 92. and 93. while a Start over %s runs everything is answered, and it goes on when its client leaves",
  async (_, send) => {
    const node = await start(await xrayAfter("sleep 2"));
    const user = userOf("1", "vless");
    const leaving = AbortSignal.timeout(1_000);
    const backend = create(BackendSchema, { config: nodeConfig(ports), users: [user] });
    const starting = send(node, backend, leaving).then(
      () => "answered",
      () => "left",
    );
    const seen: unknown[] = [];
    const downText = "core is not started yet";
    let slowestMs = 0;
    while (!leaving.aborted) {
      const asked = performance.now();
      const [info, stats, sync] = await Promise.all([
        node.grpc.info(),
        failureOf(node.rest.backendStats()),
        failureOf(node.grpc.syncChunked({ last: true, users: [user] })),
      ]);
      slowestMs = Math.max(slowestMs, performance.now() - asked);
      seen.push({ started: info.started, stats, sync });
    }
    expect(await starting).toBe("left");
    expect(slowestMs).toBeLessThan(1_000);
    // The first may have been answered before the Start arrived.
    const answer = {
      started: false,
      stats: { status: 503, text: `${downText}\n` },
      sync: { code: Code.Unavailable, text: downText },
    };
    expect(new Set(seen.slice(1).map((each) => JSON.stringify(each)))).toEqual(new Set([JSON.stringify(answer)]));
    await expect.poll(() => node.grpc.info(), { timeout: 20_000 }).toMatchObject({ started: true });
    expect((await node.grpc.info()).coreVersion).not.toBe("");
    expect(await throughVless(user)).toEqual([true]);
  },
);

it("92. after a Start that failed there is no backend", async () => {
  const node = await start(await xrayAfter("echo 'Failed to start: no luck today'; exit 23"));
  const failed = { code: Code.Unknown, text: expect.stringContaining("no luck today") };
  expect(await failureOf(node.grpc.start({ config: nodeConfig(ports) }))).toMatchObject(failed);
  const gone = { status: 500, text: "backend not initialized\n" };
  expect(await failureOf(node.rest.backendStats())).toEqual(gone);
});

it("94. an engine that cannot come back is no longer told as started", async () => {
  const broken = join(directory, "broken");
  const node = await start(await xrayAfter(`[ ! -e '${broken}' ] || exit 1`));
  await node.grpc.start({ config: nodeConfig(ports) });
  await writeFile(broken, "");
  process.kill(await engineOf(node.pid), "SIGKILL");
  await expect.poll(() => node.grpc.info(), { timeout: 5_000 }).toMatchObject({ started: false });
  expect(await node.rest.info()).toMatchObject({ started: false });
  const down = { status: 503, text: "core is not started yet\n" };
  await expect.poll(() => failureOf(node.rest.backendStats()), { timeout: 5_000 }).toEqual(down);
  await rm(broken);
  await expect.poll(() => node.grpc.info(), { timeout: 20_000 }).toMatchObject({ started: true });
});
