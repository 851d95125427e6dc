import { type SystemTools, ToolFailed } from "../host/system-tool.ts";
import { DeviceRefused, type DeviceState, DeviceUnreachable, type PeerChange, type WireGuardDevice } from "./device.ts";

/**
 * A WireGuard of the kernel, by `wg`, which also speaks to one that is a process. Keys reach `wg` through its input, so
 * that nobody sees them among its arguments.
 */
export function createKernelDevice(interfaceName: string, tools: SystemTools): WireGuardDevice {
  const wg = async (verb: string, args: readonly string[] = [], input?: string) => {
    try {
      return await tools("wg", [verb, interfaceName, ...args], input);
    } catch (error) {
      if (!(error instanceof ToolFailed)) throw error;
      if (/no such device|unable to access interface|not installed/i.test(error.said))
        throw new DeviceUnreachable(error.message, { cause: error });
      throw new DeviceRefused(`WireGuard refuses what it was given: ${error.said}`, { cause: error });
    }
  };
  return {
    read: async () => stateOf(await wg("show", ["dump"])),
    async configure({ privateKey, listenPort }) {
      await wg("set", ["listen-port", `${listenPort}`, "private-key", "/dev/stdin"], `${privateKey}\n`);
    },
    async change(changes) {
      for (const run of runsOf(changes)) {
        if (run.every(takesAway)) await wg("set", run.flatMap(argumentsOf));
        else await wg("addconf", ["/dev/stdin"], run.map(sectionOf).join(""));
      }
    },
  };
}

/** What takes something away goes by another command than what gives: runs of either, in the order in which they come. */
function* runsOf(changes: readonly PeerChange[]): Iterable<PeerChange[]> {
  let run: PeerChange[] = [];
  for (const change of changes) {
    const [first] = run;
    if (first !== undefined && (takesAway(first) !== takesAway(change) || run.length >= mostInRun)) {
      yield run;
      run = [];
    }
    run.push(change);
  }
  if (run.length > 0) yield run;
}

/** A config file cannot say that a peer is to go, or is to have no ranges. */
function takesAway(change: PeerChange): boolean {
  return change.remove || change.allowedIps.length === 0;
}

function argumentsOf(change: PeerChange): string[] {
  return ["peer", change.publicKey, ...(change.remove ? ["remove"] : ["allowed-ips", ""])];
}

// What an argument list has room for, many times over.
const mostInRun = 1_000;
const noKey = Buffer.alloc(32).toString("base64");

/** A peer as a config file has it: its ranges replace those that it has. */
function sectionOf(change: PeerChange): string {
  if (change.remove) return "";
  const { publicKey, preSharedKey = noKey, allowedIps } = change;
  return [
    "[Peer]",
    `PublicKey = ${publicKey}`,
    `PresharedKey = ${preSharedKey}`,
    `AllowedIPs = ${allowedIps.join(", ")}`,
    "PersistentKeepalive = off",
    "",
  ].join("\n");
}

/** Reads what `wg show <interface> dump` says: a line of the interface, and one for each peer, by tabs. */
function stateOf(dump: string): DeviceState {
  const [own = "", ...peers] = dump.trimEnd().split("\n");
  return {
    listenPort: Number(own.split("\t")[2]),
    peers: peers.map((line) => {
      const [publicKey = "", , endpoint = none, ranges = none, handshake, received = "0", sent = "0"] =
        line.split("\t");
      return {
        publicKey,
        allowedIps: ranges === none ? [] : ranges.split(","),
        endpoint: endpoint === none ? undefined : endpoint,
        lastHandshake: Number(handshake),
        receivedBytes: BigInt(received),
        sentBytes: BigInt(sent),
      };
    }),
  };
}

const none = "(none)";
