import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { readCidr } from "../../src/node/engines/wireguard/cidr.ts";
import {
  DeviceRefused,
  DeviceUnreachable,
  type WireGuardDevice,
} from "../../src/node/engines/wireguard/device/device.ts";
import { createKernelDevice } from "../../src/node/engines/wireguard/device/kernel-device.ts";
import { createUapiDevice } from "../../src/node/engines/wireguard/device/uapi-device.ts";
import { socketOf } from "../../src/node/engines/wireguard/device/uapi-socket.ts";
import {
  addKernelInterface,
  bringUp,
  findInterface,
  interfacesOf,
  markInterface,
  removeOwnInterface,
  setAddresses,
} from "../../src/node/engines/wireguard/host/network-interface.ts";
import { createSystemTools, type SystemTools, ToolFailed } from "../../src/node/engines/wireguard/host/system-tool.ts";
import { isAlive } from "../support/child-processes.ts";
import { kernelHasWireGuard } from "../support/kernel-wireguard.ts";
import { makeNamespace, mayMakeNamespaces, type NetworkNamespace } from "../support/network-namespace.ts";
import { askForEverything, recordedExchanges, recording } from "../support/wg-exchanges.ts";
import { wireGuardPath } from "../wireguard-path.ts";

const privateKey = Buffer.alloc(32, 0x41).toString("base64");
const key = (number: number) => Buffer.alloc(32, number).toString("base64");

describe.skipIf(!(await mayMakeNamespaces()))("a real wireguard-go in a network of its own", () => {
  // Its sockets are files, which networks do not keep apart.
  const name = `gw${process.pid}`;
  let network: NetworkNamespace;
  let wireGuard: ChildProcess;
  let tools: SystemTools;

  beforeEach(async () => {
    network = await makeNamespace(1);
    const [enter = "", ...args] = network.enter;
    wireGuard = spawn(enter, [...args, await wireGuardPath(), "-f", name], { stdio: "ignore" });
    tools = toolsIn(network);
    await vi.waitFor(() => createUapiDevice({ socketPath: socketOf(name) }).read(), 10_000);
  });
  afterEach(async () => {
    wireGuard.kill("SIGTERM");
    if (wireGuard.exitCode === null && wireGuard.signalCode === null) await once(wireGuard, "close");
    await network.close();
  });

  const devices: [string, () => WireGuardDevice][] = [
    ["its configuration protocol", () => createUapiDevice({ socketPath: socketOf(name) })],
    ["wg", () => createKernelDevice(name, createSystemTools(process.env))],
  ];
  describe.each(devices)("by %s", (_, open) => {
    provesDevice(open);

    test("one that is gone is told apart", async () => {
      wireGuard.kill("SIGTERM");
      await once(wireGuard, "close");
      await expect(open().read()).rejects.toThrow(DeviceUnreachable);
    });
  });

  test("wg is asked, and says, what was recorded", async () => {
    const recorder = recording(createSystemTools(process.env), name);
    await askForEverything(createKernelDevice(name, recorder.tools));
    expect(recorder.exchanges).toEqual(await recordedExchanges());
  });

  test("the interface gets exactly the addresses that it shall have, and comes up", async () => {
    const cidrs = (...texts: string[]) => texts.flatMap((text) => readCidr(text) ?? []);
    const addresses = async () => {
      const [link] = JSON.parse(await tools("ip", ["-json", "address", "show", "dev", name]));
      const all: string[] = link.addr_info.map(
        ({ local, prefixlen }: Record<string, unknown>) => `${local}/${prefixlen}`,
      );
      return all.filter((address) => !address.startsWith("fe80:")).sort(); // the kernel's own
    };
    await setAddresses(name, cidrs("10.8.0.1/24", "fd00::1/64"), tools);
    await bringUp(name, tools);
    expect(await addresses()).toEqual(["10.8.0.1/24", "fd00::1/64"]);
    await setAddresses(name, cidrs("10.8.0.1/24", "10.9.0.1/24"), tools);
    expect(await addresses()).toEqual(["10.8.0.1/24", "10.9.0.1/24"]);
    // Of several of one range all go with the first, unless the kernel was told otherwise.
    await setAddresses(name, cidrs("10.9.0.1/24", "10.9.0.2/24", "10.9.0.3/24"), tools);
    await setAddresses(name, cidrs("10.9.0.2/24"), tools);
    expect(await addresses()).toEqual(["10.9.0.2/24"]);
  });

  test("an interface is only removed when it is ours", async () => {
    expect(await findInterface("nobody", tools)).toBeUndefined();
    await removeOwnInterface("nobody", "garrison /a", tools);
    for (const owner of [undefined, "garrison /b"]) {
      if (owner !== undefined) await markInterface(name, owner, tools);
      expect(await findInterface(name, tools)).toMatchObject({ owner });
      await expect(removeOwnInterface(name, "garrison /a", tools)).rejects.toThrow(
        `there is an interface ${name} already that this node has not made`,
      );
    }
    await markInterface(name, "garrison /a", tools);
    expect(await interfacesOf("garrison /a", tools)).toEqual([name]);
    await removeOwnInterface(name, "garrison /a", tools);
    expect(await findInterface(name, tools)).toBeUndefined();
  });
});

test.each([undefined, "what it reads"])(
  "a program that is not there is named with its package: given %s",
  async (input) => {
    await expect(createSystemTools({ PATH: "/nowhere" })("wg", ["show"], input)).rejects.toThrow(
      "wg show: `wg` is not installed: the package wireguard-tools has it",
    );
  },
);

test.each([undefined, "what it reads"])(
  "a program that takes too long is ended, and told of: given %s",
  async (input) => {
    const bin = await mkdtemp(join(tmpdir(), "garrison-tools-"));
    onTestFinished(() => rm(bin, { recursive: true }));
    await writeFile(join(bin, "wg"), '#!/bin/sh\necho $$ > "$2"\nexec sleep 60\n', { mode: 0o755 });
    const note = join(bin, "pid");
    const tools = createSystemTools({ PATH: `${bin}:${process.env.PATH}` }, 500);
    await expect(tools("wg", ["show", note], input)).rejects.toThrow(`wg show ${note}: it ended with SIGKILL`);
    const pid = Number(await readFile(note, "utf8"));
    await vi.waitFor(async () => expect(await isAlive(pid)).toBe(false));
  },
);

describe.skipIf(!(await kernelHasWireGuard()))("the kernel's WireGuard by wg", () => {
  let network: NetworkNamespace;
  beforeEach(async () => {
    network = await makeNamespace(1);
    await addKernelInterface("wg0", "garrison /a", toolsIn(network));
  });
  afterEach(() => network.close());

  provesDevice(() => createKernelDevice("wg0", toolsIn(network)));

  test("is asked, and says, what was recorded", async () => {
    const recorder = recording(toolsIn(network), "wg0");
    await askForEverything(createKernelDevice("wg0", recorder.tools));
    expect(recorder.exchanges).toEqual(await recordedExchanges());
  });

  test("one that is gone is told apart", async () => {
    await removeOwnInterface("wg0", "", toolsIn(network)).catch(() => undefined);
    await toolsIn(network)("ip", ["link", "delete", "dev", "wg0"]);
    await expect(createKernelDevice("wg0", toolsIn(network)).read()).rejects.toThrow(DeviceUnreachable);
  });
});

/** The tools as the node uses them, but inside a network. */
function toolsIn({ enter: [enter = "", ...inside] }: NetworkNamespace): SystemTools {
  return async (program, args, input = "") => {
    // As /dev/stdin can be opened only what is a pipe.
    const shell = ["/bin/sh", "-c", 'cat | "$0" "$@"', program, ...args];
    const child = spawn(enter, [...inside, ...shell], { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
    if (code !== 0) throw new ToolFailed(program, stderr.trim());
    return stdout;
  };
}

/** What holds of every device. */
function provesDevice(open: () => WireGuardDevice): void {
  const peersOf = async (device: WireGuardDevice) => {
    const { peers } = await device.read();
    return Object.fromEntries(peers.map(({ publicKey, allowedIps }) => [publicKey, [...allowedIps].sort()]));
  };
  const peer = (number: number, allowedIps: string[], preSharedKey?: string) => ({
    publicKey: key(number),
    allowedIps,
    preSharedKey,
  });

  test("it gets a key, a port and peers, and tells them", async () => {
    const device = open();
    await device.configure({ privateKey, listenPort: 0 });
    await device.change([peer(1, ["10.8.0.2/32", "fd00::2/128"], key(9)), peer(2, ["10.8.0.3/32"])]);
    const { listenPort, peers } = await device.read();
    expect(listenPort).toBeGreaterThan(0);
    expect(peers).toHaveLength(2);
    expect(peers.find(({ publicKey }) => publicKey === key(1))).toEqual({
      publicKey: key(1),
      allowedIps: expect.arrayContaining(["10.8.0.2/32", "fd00::2/128"]),
      endpoint: undefined,
      lastHandshake: 0,
      receivedBytes: 0n,
      sentBytes: 0n,
    });
  });

  test("its peers are changed one by one, in the order of the changes", async () => {
    const device = open();
    await device.change([peer(1, ["10.8.0.2/32"]), peer(2, ["10.8.0.3/32"]), peer(3, ["10.8.0.4/32"])]);
    await device.change([
      { publicKey: key(3), remove: true },
      peer(4, ["10.8.0.4/32"]),
      // They change places.
      peer(1, ["10.8.0.3/32"]),
      peer(2, ["10.8.0.2/32", "fd00::3/128"]),
    ]);
    expect(await peersOf(device)).toEqual({
      [key(1)]: ["10.8.0.3/32"],
      [key(2)]: ["10.8.0.2/32", "fd00::3/128"],
      [key(4)]: ["10.8.0.4/32"],
    });
    await device.change([peer(1, [])]);
    expect(await peersOf(device)).toMatchObject({ [key(1)]: [] });
  });

  test("a peer that is to be removed need not be there", async () => {
    const device = open();
    await device.change([{ publicKey: key(7), remove: true }]);
    expect(await peersOf(device)).toEqual({});
  });

  test("thousands of peers at once", async () => {
    const device = open();
    const many = Array.from({ length: 2_500 }, (_, index) => ({
      publicKey: Buffer.alloc(32, `${index}.`).toString("base64"),
      allowedIps: [`10.${8 + (index >> 8)}.${index & 255}.1/32`],
      preSharedKey: undefined,
    }));
    await device.change(many);
    expect((await device.read()).peers).toHaveLength(2_500);
    await device.change(many.map(({ publicKey }) => ({ publicKey, remove: true })));
    expect((await device.read()).peers).toEqual([]);
  });

  test("what it refuses is told without a key", async () => {
    const refusal = open().change([peer(5, ["10.8.0.2/99"])]);
    await expect(refusal).rejects.toThrow(DeviceRefused);
    await expect(refusal).rejects.not.toThrow(key(5));
  });
}
