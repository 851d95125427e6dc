import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { isAlive } from "./child-processes.ts";

const run = promisify(execFile);
let made = 0;

/** A network of its own, joined to that of this machine, or to another such network, by a cable. */
export interface NetworkNamespace {
  readonly name: string;
  /** What to put in front of a command, so that it runs inside. */
  readonly enter: readonly string[];
  /** The addresses of the cable's end that is outside. */
  readonly outside: { readonly v4: string; readonly v6: string };
  /** The addresses of the other end. */
  readonly inside: readonly { readonly v4: string; readonly v6: string }[];
  /** Takes the network away, and the cable with it. Processes inside must have ended. */
  close(): Promise<void>;
}

/** Whether this process may make networks, as root without restrictions may. */
export async function mayMakeNamespaces(): Promise<boolean> {
  try {
    await (await makeNamespace(1)).close();
    return true;
  } catch {
    return false;
  }
}

/**
 * Makes a network with so many addresses, whose cable leads to `joined`: by default to this machine. Those that runs
 * before have left are taken away.
 */
export async function makeNamespace(addresses: number, joined?: NetworkNamespace): Promise<NetworkNamespace> {
  await removeLeftovers();
  const name = `garrison-${process.pid}-${++made}`;
  const [here, there] = [`gn${process.pid}a${made}`, `gn${process.pid}b${made}`];
  // Ranges for benchmarks and for private use, in which hardly any machine has its own networks.
  const [high, low] = [(process.pid >> 8) & 255, process.pid & 255];
  const cable = made & 255;
  const address = (host: number) =>
    joined === undefined
      ? { v4: `198.${18 + (high & 1)}.${low}.${host}`, v6: `fd67:6b::${high}:${low}:${host}` }
      : { v4: `172.31.${cable}.${host}`, v6: `fd67:6c::${cable}:${host}` };
  const outside = address(1);
  const inside = Array.from({ length: addresses }, (_, index) => address(index + 2));
  const ip = (...args: string[]) => run("ip", args);
  const outsideIp = (...args: string[]) => ip(...(joined === undefined ? [] : ["-n", joined.name]), ...args);
  const setUp = async (device: string, own: typeof inside, ...where: string[]) => {
    for (const { v4, v6 } of own) {
      await ip(...where, "address", "add", `${v4}/24`, "dev", device);
      await ip(...where, "address", "add", `${v6}/112`, "dev", device, "nodad");
    }
    await ip(...where, "link", "set", device, "up");
  };
  await ip("netns", "add", name);
  try {
    await outsideIp("link", "add", here, "type", "veth", "peer", "name", there, "netns", name);
    await setUp(here, [outside], ...(joined === undefined ? [] : ["-n", joined.name]));
    await setUp(there, inside, "-n", name);
    await ip("-n", name, "link", "set", "lo", "up");
  } catch (error) {
    await ip("netns", "del", name);
    throw error;
  }
  return {
    name,
    enter: ["nsenter", `--net=/run/netns/${name}`],
    outside,
    inside,
    close: async () => void (await ip("netns", "del", name)),
  };
}

async function removeLeftovers(): Promise<void> {
  const { stdout } = await run("ip", ["netns", "list"]);
  for (const [name, pid] of stdout.matchAll(/^garrison-(\d+)-\w+/gm)) {
    if (!(await isAlive(Number(pid)))) await run("ip", ["netns", "del", name]).catch(() => undefined);
  }
}
