import { type SystemTools, ToolFailed } from "../../src/node/engines/wireguard/host/system-tool.ts";

/** An interface of the machine that is played. */
interface PlayedInterface {
  readonly index: number;
  kind: string;
  alias?: string | undefined;
  addresses: string[];
  /** Received and sent bytes of each key. */
  readonly peers: Map<string, { ranges: string; received: bigint; sent: bigint }>;
}

/** A machine whose kernel has WireGuard, as `ip` and `wg` show it; most that tests run on have none. */
export interface KernelStandIn {
  readonly tools: SystemTools;
  readonly interfaces: Map<string, PlayedInterface>;
  /** What starts with this fails from now on; undefined: nothing does. */
  failing: string | undefined;
  /** What it says then. */
  complaint: string;
  /** The network is another one from now on, as that of a container that is started again: empty, and counted anew. */
  beginAnew(): void;
  /** Tools of a process that is killed as it has run one command: it never hears of that, and asks nothing more. */
  toolsUntil(isLast: (command: string) => boolean): SystemTools;
}

/** Makes a machine without interfaces. */
export function createKernelStandIn(): KernelStandIn {
  const interfaces: KernelStandIn["interfaces"] = new Map();
  let lastIndex = 1;
  const found = (name: string) => {
    const link = interfaces.get(name);
    if (link === undefined) throw new ToolFailed("ip", `Device "${name}" does not exist. Cannot find device`);
    return link;
  };
  const shown = (name: string) => {
    const { index: ifindex, alias: ifalias, kind: info_kind } = found(name);
    return { ifindex, ifname: name, ...(ifalias !== undefined && { ifalias }), linkinfo: { info_kind } };
  };
  const ip = (args: readonly string[]): string => {
    const words = args.filter((word) => !word.startsWith("-") && word !== "dev");
    const [what = "", verb = "", first = "", second = "", third = ""] = words;
    switch (`${what} ${verb}`) {
      case "link show":
        return JSON.stringify((first === "" ? [...interfaces.keys()] : [first]).map(shown));
      case "link add":
        interfaces.set(first, { index: ++lastIndex, kind: third, addresses: [], peers: new Map() });
        return "";
      case "link set":
        if (second === "alias") found(first).alias = third;
        return "";
      case "link delete":
        found(first);
        interfaces.delete(first);
        return "";
      case "address show": {
        const held = found(first).addresses.map((address) => address.split("/"));
        return JSON.stringify([
          { addr_info: held.map(([local, prefix]) => ({ local, prefixlen: Number(prefix), scope: "global" })) },
        ]);
      }
      case "address add":
        found(second).addresses.push(first);
        return "";
      case "address delete":
        found(second).addresses = found(second).addresses.filter((address) => address !== first);
        return "";
      default:
        throw new Error(`ip ${args.join(" ")} is not played`);
    }
  };
  const wg = ([verb = "", name = "", ...rest]: readonly string[], input: string): string => {
    if (verb === "--version") return "wireguard-tools v1.0.20210914";
    const { peers } = interfaces.get(name) ?? {};
    if (peers === undefined) throw new ToolFailed("wg", "Unable to access interface: No such device");
    if (verb === "show") {
      const lines = Array.from(peers, ([key, { ranges, received, sent }]) =>
        [key, "(none)", "(none)", ranges, "0", `${received}`, `${sent}`, "off"].join("\t"),
      );
      return ["private\tpublic\t51820\toff", ...lines].join("\n");
    }
    if (verb === "addconf")
      for (const [, key = "", ranges = ""] of input.matchAll(/PublicKey = (\S+)[^[]*AllowedIPs = (.*)/g))
        peers.set(key, { ...(peers.get(key) ?? { received: 0n, sent: 0n }), ranges: ranges.replaceAll(" ", "") });
    if (rest[0] === "peer")
      for (const [, key = "", change = ""] of rest.join(" ").matchAll(/peer (\S+) (remove|allowed-ips)/g)) {
        const peer = peers.get(key);
        if (change === "remove") peers.delete(key);
        else if (peer !== undefined) peer.ranges = "(none)";
      }
    return "";
  };
  const standIn: KernelStandIn = {
    interfaces,
    failing: undefined,
    complaint: "it was told to fail",
    beginAnew() {
      interfaces.clear();
      lastIndex = 1;
    },
    async tools(program, args, input = "") {
      const command = [program, ...args].join(" ");
      if (standIn.failing !== undefined && command.startsWith(standIn.failing))
        throw new ToolFailed(command, standIn.complaint);
      return program === "ip" ? ip(args) : program === "wg" ? wg(args, input) : '{"nftables":[]}';
    },
    toolsUntil(isLast) {
      let isDead = false;
      return async (program, args, input) => {
        const said = isDead ? "" : await standIn.tools(program, args, input);
        isDead ||= isLast([program, ...args].join(" "));
        return isDead ? new Promise<never>(() => undefined) : said;
      };
    },
  };
  return standIn;
}
