import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type NetworkProcess, startInNetwork } from "./network-process.ts";

const run = promisify(execFile);
let made = 0;

/**
 * Three networks: that of a peer, a router between them, and an internet that knows the router's own addresses only.
 * The router reaches it by another interface in each family.
 */
export interface RoutedNetworks {
  readonly peer: NetworkProcess;
  readonly internet: NetworkProcess;
  /** Ports of the internet's host: one that tells as whom it sees others, and HTTP. */
  readonly ports: { readonly tell: number; readonly http: number; readonly tellOfPeer: number };
  /** What to put in front of a command, so that it runs on the router. */
  readonly enterRouter: readonly string[];
  /** Runs a program on the router; returns what it says. */
  onRouter(...command: string[]): Promise<string>;
  /** Has the internet send to the peer's own addresses, too. */
  tellWayToPeer(): Promise<void>;
  close(): Promise<void>;
}

/** Addresses in {@link RoutedNetworks}, by family: ranges for documentation and private use. */
export const addresses = {
  ipv4: { peer: "10.77.0.2", router: "198.51.100.1", internet: "203.0.113.1" },
  ipv6: { peer: "fd77::2", router: "fd52::1", internet: "fd99::1" },
} as const;
/** Interfaces of the router. */
export const interfaces = { tunnel: "tunnel0", ipv4: "out4", ipv6: "out6" } as const;

/** Makes the networks, with a host in the first and the last one. */
export async function makeRoutedNetworks(): Promise<RoutedNetworks> {
  const number = ++made;
  const name = (which: string) => `garrison-${process.pid}-${which}${number}`;
  const [peerNet, router, internetNet] = [name("peer"), name("router"), name("internet")];
  const ip = async (network: string, ...commands: string[]) => {
    const running = run("ip", ["-n", network, "-batch", "-"]);
    running.child.stdin?.end(commands.join("\n"));
    await running;
  };
  const enter = (network: string) => ["nsenter", `--net=/run/netns/${network}`];
  const onRouter = async (...command: string[]) => {
    const [program = "", ...args] = [...enter(router), ...command];
    return (await run(program, args)).stdout;
  };
  const hosts: NetworkProcess[] = [];
  const close = async () => {
    for (const host of hosts) await host.kill();
    for (const network of [peerNet, router, internetNet]) await run("ip", ["netns", "del", network]).catch(() => "");
  };
  const cable = (device: string, other: string, otherDevice: string) =>
    `link add ${device} type veth peer name ${otherDevice} netns ${other}`;
  const up = (...devices: string[]) => ["lo", ...devices].map((device) => `link set ${device} up`);
  const own = (device: string, ...ranges: string[]) =>
    ranges.map((range) => `address add ${range} dev ${device}${range.includes(":") ? " nodad" : ""}`);
  const defaultBy = (...gateways: string[]) => gateways.map((gateway) => `route add default via ${gateway}`);
  try {
    for (const network of [peerNet, router, internetNet]) await run("ip", ["netns", "add", network]);
    await ip(
      router,
      cable(interfaces.tunnel, peerNet, "eth0"),
      cable(interfaces.ipv4, internetNet, "eth4"),
      cable(interfaces.ipv6, internetNet, "eth6"),
      ...up(interfaces.tunnel, interfaces.ipv4, interfaces.ipv6),
      ...own(interfaces.tunnel, "10.77.0.1/24", "fd77::1/64"),
      ...own(interfaces.ipv4, "198.51.100.1/24"),
      ...own(interfaces.ipv6, "fd52::1/64"),
      ...defaultBy("198.51.100.2", "fd52::2"),
    );
    await ip(
      peerNet,
      ...up("eth0"),
      ...own("eth0", "10.77.0.2/24", "fd77::2/64"),
      ...defaultBy("10.77.0.1", "fd77::1"),
    );
    await ip(
      internetNet,
      ...up("eth4", "eth6"),
      ...own("eth4", "198.51.100.2/24"),
      ...own("eth6", "fd52::2/64"),
      ...own("lo", "203.0.113.1/32", "fd99::1/128"),
    );
    const script = new URL("network-host.ts", import.meta.url);
    const [peer, internet] = [startInNetwork(enter(peerNet), script), startInNetwork(enter(internetNet), script)];
    hosts.push(peer, internet);
    const [[tell = 0, http = 0], [tellOfPeer = 0]] = (await Promise.all([
      internet.call("listen"),
      peer.call("listen"),
    ])) as [number[], number[]]; // as network-host.ts says
    return {
      peer,
      internet,
      ports: { tell, http, tellOfPeer },
      enterRouter: enter(router),
      onRouter,
      async tellWayToPeer() {
        await ip(internetNet, "route add 10.77.0.0/24 via 198.51.100.1", "route add fd77::/64 via fd52::1");
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
