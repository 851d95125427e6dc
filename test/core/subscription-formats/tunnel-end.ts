import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import { vi } from "vitest";
import { wireGuardPath } from "../../wireguard-path.ts";

const run = promisify(execFile);

/** An interface of WireGuard in a network of its own, which has no other. Its packets are sent by this machine's. */
export interface TunnelEnd {
  /** What to put in front of a command, so that it runs where the interface is. */
  readonly enter: readonly string[];
  /** What `wg show` says of the interface. */
  show(what: string): Promise<string>;
  close(): Promise<void>;
}

/** Options of {@link openTunnelEnd}. */
export interface TunnelEndOptions {
  /** Of the interface, unlike any other on the machine. At most 15 characters. */
  name: string;
  /** What `wg setconf` takes. */
  configFile: string;
  /** With prefixes. */
  addresses: readonly string[];
  /** Where everything goes through the tunnel. */
  isDefault: boolean;
}

/** Starts a real wireguard-go, which `wg` tells its config. */
export async function openTunnelEnd({ name, configFile, addresses, isDefault }: TunnelEndOptions): Promise<TunnelEnd> {
  const network = `garrison-${process.pid}-${name}`;
  const wireGuard = spawn(await wireGuardPath(), ["-f", name], { stdio: "ignore" });
  const end: TunnelEnd = {
    enter: ["nsenter", `--net=/run/netns/${network}`],
    show: async (what) => (await run("wg", ["show", name, what])).stdout,
    async close() {
      await ended(wireGuard);
      await run("ip", ["netns", "del", network]).catch(() => undefined); // it may not have come to be
    },
  };
  try {
    await vi.waitFor(() => run("wg", ["show", name]), 10_000);
    await run("ip", ["link", "set", name, "up"]);
    await run("wg", ["setconf", name, configFile]);
    await run("ip", ["netns", "add", network]);
    // Its sockets stay here.
    await run("ip", ["link", "set", name, "netns", network]);
    const ip = (...args: string[]) => run("ip", ["-n", network, ...args]);
    await ip("link", "set", "lo", "up");
    for (const address of addresses) await ip("address", "add", address, "dev", name);
    await ip("link", "set", name, "up");
    if (isDefault) for (const family of ["-4", "-6"]) await ip(family, "route", "add", "default", "dev", name);
  } catch (error) {
    await end.close();
    throw error;
  }
  return end;
}

async function ended(child: ChildProcess): Promise<void> {
  child.kill("SIGTERM");
  if (child.exitCode === null && child.signalCode === null) await once(child, "close");
}
