import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { UserSchema } from "../../gen/service/node_pb.ts";
import type { Engine } from "../../src/node/engines/engine.ts";
import { createWireGuardEngine } from "../../src/node/engines/wireguard/wireguard-engine.ts";
import { createKernelStandIn, type KernelStandIn } from "../support/kernel-stand-in.ts";

// There an interface is no process: it does not end, answers by `wg`, and can be taken away by anybody.

const name = "wgstandin";
const key = () => randomBytes(32).toString("base64");
const [privateKey, ofAlice] = [key(), key()];
const alice = create(UserSchema, {
  email: "alice",
  inbounds: [name],
  proxies: { wireguard: { publicKey: ofAlice, peerIps: ["10.8.0.2/32"] } },
});

let kernel: KernelStandIn;
let runDir: string;
let lines: string[];
let engine: Engine;
beforeEach(async () => {
  kernel = createKernelStandIn();
  runDir = await mkdtemp(join(tmpdir(), "garrison-wireguard-"));
  engine = open();
});
afterEach(async () => {
  kernel.failing = undefined;
  await engine.stop();
  await rm(runDir, { recursive: true });
});

function open(stateFile?: string): Engine {
  lines = [];
  return createWireGuardEngine({
    ...{ executable: undefined, env: process.env, runDir, tools: kernel.tools, stateFile, now: Date.now },
    ...{ hostRouting: undefined, egressInterface: undefined, sampleSeconds: 0.01 },
    events: {
      line: (line) => lines.push(line),
      stateChanged: () => undefined,
      exited: () => undefined,
      restarted: () => undefined,
      drained: () => undefined,
    },
  });
}
const request = (more: object = {}) => ({
  config: JSON.stringify({ interface_name: name, private_key: privateKey, address: ["10.8.0.1/24"], ...more }),
  ...{ users: [alice], excludeInbounds: [] },
});

test("an interface that somebody has taken away comes back with its users", async () => {
  await engine.start(request());
  kernel.interfaces.delete(name);
  await vi.waitFor(() => expect(kernel.interfaces.get(name)?.peers.has(ofAlice)).toBe(true), 5_000);
  await vi.waitFor(() => expect(engine.state).toBe("running"));
});

test("one that does not answer, and cannot be taken away, is told, and comes back once it can", async () => {
  await engine.start(request());
  const index = kernel.interfaces.get(name)?.index;
  kernel.failing = "wg show";
  await vi.waitFor(() => {
    const link = kernel.interfaces.get(name);
    if (link !== undefined) link.alias = "somebody else's";
    expect(lines.join()).toContain("what does not answer any more cannot be taken away");
  }, 5_000);
  kernel.failing = undefined;
  kernel.interfaces.delete(name);
  await vi.waitFor(() => expect(engine.state).toBe("running"), 5_000);
  expect(kernel.interfaces.get(name)?.index).not.toBe(index);
});

test("where the one before cannot be taken away it stays in force, and a stop that fails is no end of all starts", async () => {
  await engine.start(request());
  kernel.failing = `ip link delete dev ${name}`;
  await expect(engine.start(request({ interface_name: "wgother" }))).rejects.toThrow("it was told to fail");
  kernel.failing = undefined;
  await vi.waitFor(() => expect(engine.state).toBe("running"), 5_000);
  expect([...kernel.interfaces.keys()]).toEqual([name]);

  kernel.failing = `ip link delete dev ${name}`;
  await expect(engine.stop()).rejects.toThrow("it was told to fail");
  kernel.failing = undefined;
  await engine.start(request());
  kernel.interfaces.delete(name);
  await vi.waitFor(() => expect(kernel.interfaces.get(name)?.peers.has(ofAlice)).toBe(true), 5_000);
});

test("one that cannot be marked is not left behind", async () => {
  kernel.failing = `ip link set dev ${name} alias`;
  await expect(engine.start(request())).rejects.toThrow(`the interface ${name} cannot be made`);
  expect([...kernel.interfaces.keys()]).toEqual([]);
});
