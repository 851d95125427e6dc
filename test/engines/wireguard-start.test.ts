import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Engine } from "../../src/node/engines/engine.ts";
import { StartFailed } from "../../src/node/engines/engine-error.ts";
import { requireSocketFree, socketDirectory, socketOf } from "../../src/node/engines/wireguard/device/uapi-socket.ts";
import { type SystemTools, ToolFailed } from "../../src/node/engines/wireguard/host/system-tool.ts";
import { createWireGuardEngine } from "../../src/node/engines/wireguard/wireguard-engine.ts";
import { makeNamespace, mayMakeNamespaces } from "../support/network-namespace.ts";
import { makeKeys, startWireGuard } from "../support/wireguard-peer.ts";

// A wireguard-go that does not come up: a script stands in for it, on a machine whose kernel has no WireGuard.

const run = promisify(execFile);
const name = `gs${process.pid}`;
const silent = () => undefined;
const config = JSON.stringify({ interface_name: name, private_key: makeKeys().privateKey, address: ["10.8.0.1/24"] });

let runDir: string;
let lines: string[];
let engine: Engine;
beforeEach(async () => {
  runDir = await mkdtemp(join(tmpdir(), "garrison-wireguard-"));
});
afterEach(async () => {
  await engine.stop();
  await rm(runDir, { recursive: true });
});

/** Starts an engine whose wireguard-go is a shell script. */
async function start(script: string): Promise<unknown> {
  const executable = join(runDir, "wireguard-go");
  await writeFile(executable, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  lines = [];
  engine = createWireGuardEngine({
    ...{ executable, env: process.env, runDir, tools: kernelWithout, now: Date.now },
    ...{ hostRouting: undefined, egressInterface: undefined, stateFile: join(runDir, "state") },
    events: {
      line: (line) => lines.push(line),
      ...{ stateChanged: silent, exited: silent, restarted: silent, drained: silent },
    },
  });
  return engine.start({ config, users: [], excludeInbounds: [] });
}

const kernelWithout: SystemTools = async (program, args) => {
  if (args.includes("add")) throw new ToolFailed(program, "Error: Unknown device type.");
  if (args.includes("show")) throw new ToolFailed(program, `Device "${name}" does not exist.`);
  return "";
};

test.each([
  ["Failed to create TUN device: operation not permitted", "it needs CAP_NET_ADMIN: run the node as root"],
  ['CreateTUN("wg0") failed; /dev/net/tun does not exist', "it needs the device /dev/net/tun"],
  [
    "UAPI listen error: remove /var/run/wireguard/wg0.sock: no such file or directory",
    "it needs a directory /var/run/wireguard that it may write",
  ],
  ["UAPI listen error: unix socket in use", ""],
])("one that ends at once is told with its own words and what to do: %s", async (words, hint) => {
  const failure = await start(`echo '${words}' >&2; exit 1`).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(StartFailed);
  expect(`${failure}`).toContain(`wireguard-go did not come up: wireguard-go: ${words}`);
  expect(`${failure}`).toContain(hint);
  expect(engine.state).toBe("stopped");
  expect(lines.filter((line) => !line.includes(words))).toEqual([]);
});

describe.skipIf(!(await mayMakeNamespaces()))("beside another network's of the same name", () => {
  test("it is not started, and the other one keeps its key", async () => {
    const network = await makeNamespace(1);
    onTestFinished(() => network.close());
    const other = await startWireGuard(name, network);
    try {
      const failure = start("exec sleep 60");
      await expect(failure).rejects.toThrow(StartFailed);
      await expect(failure).rejects.toThrow("in another network of this machine: choose another interface_name");
      expect((await run("wg", ["show", name, "private-key"])).stdout.trim()).toBe("(none)");
    } finally {
      await other.close();
    }
  });

  test("it is started once the other one has gone, which takes a moment", async () => {
    await mkdir(socketDirectory, { recursive: true });
    const lingering = createServer().listen(socketOf(name));
    void sleep(200).then(() => lingering.close());
    await requireSocketFree(name);
    expect(lingering.listening).toBe(false);
    await expect(start("exit 7")).rejects.toThrow("exit 7");
  });
});
