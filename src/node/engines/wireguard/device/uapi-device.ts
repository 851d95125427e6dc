import { connect } from "node:net";
import { getSystemErrorMessage } from "node:util";
import {
  DeviceRefused,
  type DeviceSettings,
  type DeviceState,
  DeviceUnreachable,
  type PeerChange,
  type PeerState,
  type WireGuardDevice,
} from "./device.ts";
import { hexOfKey, keyOfHex } from "./keys.ts";

/** Options of {@link createUapiDevice}. */
export interface UapiOptions {
  /** The socket of the process: `/var/run/wireguard/<interface>.sock`. */
  readonly socketPath: string;
  /** After this time one that does not answer is given up. Default: 30,000. */
  readonly timeoutMs?: number;
}

/**
 * A WireGuard that runs as a process, by its configuration protocol (wireguard.com/xplatform): lines of `key=value` over
 * a unix socket. Each request has a connection of its own.
 */
export function createUapiDevice(options: UapiOptions): WireGuardDevice {
  const set = async (lines: readonly string[]) => {
    const errno = errnoOf(await exchange(["set=1", ...lines], options));
    if (errno !== 0) throw new DeviceRefused(`WireGuard refuses what it was given: ${errorText(errno)}`);
  };
  return {
    async read() {
      const answer = await exchange(["get=1"], options);
      const errno = errnoOf(answer);
      if (errno !== 0) throw new DeviceUnreachable(`WireGuard does not tell its peers: ${errorText(errno)}`);
      return stateOf(answer);
    },
    configure: ({ privateKey, listenPort }: DeviceSettings) =>
      set([`private_key=${hexOfKey(privateKey)}`, `listen_port=${listenPort}`]),
    async change(changes) {
      // In parts, so that whoever asks meanwhile need not wait for all.
      for (let from = 0; from < changes.length; from += peersAtOnce) {
        await set(changes.slice(from, from + peersAtOnce).flatMap(linesOf));
      }
    },
  };
}

const peersAtOnce = 1_000;
const noKey = "0".repeat(64);

function linesOf(change: PeerChange): string[] {
  const peer = `public_key=${hexOfKey(change.publicKey)}`;
  if (change.remove) return [peer, "remove=true"];
  const { preSharedKey, allowedIps } = change;
  return [
    peer,
    `preshared_key=${preSharedKey === undefined ? noKey : hexOfKey(preSharedKey)}`,
    "persistent_keepalive_interval=0",
    "replace_allowed_ips=true",
    ...allowedIps.map((range) => `allowed_ip=${range}`),
  ];
}

/** Reads the answer to `get`. */
function stateOf(answer: string): DeviceState {
  const peers: Mutable<PeerState>[] = [];
  let listenPort = 0;
  let peer: Mutable<PeerState> | undefined;
  let allowedIps: string[] = [];
  for (const line of answer.split("\n")) {
    const at = line.indexOf("=");
    const value = line.slice(at + 1);
    switch (line.slice(0, at)) {
      case "listen_port":
        listenPort = Number(value);
        break;
      case "public_key":
        allowedIps = [];
        peer = { publicKey: keyOfHex(value), allowedIps, ...unheard };
        peers.push(peer);
        break;
      case "allowed_ip":
        allowedIps.push(value);
        break;
      case "endpoint":
        if (peer !== undefined) peer.endpoint = value;
        break;
      case "last_handshake_time_sec":
        if (peer !== undefined) peer.lastHandshake = Number(value);
        break;
      case "rx_bytes":
        if (peer !== undefined) peer.receivedBytes = BigInt(value);
        break;
      case "tx_bytes":
        if (peer !== undefined) peer.sentBytes = BigInt(value);
        break;
    }
  }
  return { listenPort, peers };
}

type Mutable<T> = { -readonly [name in keyof T]: T[name] };
const unheard = { endpoint: undefined, lastHandshake: 0, receivedBytes: 0n, sentBytes: 0n };

/** What an answer ends with; NaN when it does not. */
function errnoOf(answer: string): number {
  return Number(/(?:^|\n)errno=(-?\d+)\n\n$/.exec(answer.slice(-64))?.[1]);
}

function errorText(errno: number): string {
  return Number.isInteger(errno) ? getSystemErrorMessage(-Math.abs(errno)) : "its answer cannot be read";
}

/** Sends a request, and reads the answer up to the empty line at its end. */
function exchange(lines: readonly string[], { socketPath, timeoutMs = 30_000 }: UapiOptions): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect(socketPath);
  const fail = (reason: string, cause?: unknown) => {
    socket.destroy();
    reject(new DeviceUnreachable(`${socketPath}: ${reason}`, { cause }));
  };
  const parts: string[] = [];
  let tail = "";
  socket.setEncoding("latin1"); // keys, numbers and addresses
  socket.setTimeout(timeoutMs, () => fail(`WireGuard did not answer within ${timeoutMs / 1_000} s`));
  socket.on("error", (error) => fail(error.message, error));
  socket.on("end", () => fail("WireGuard has hung up"));
  socket.on("data", (text: string) => {
    parts.push(text);
    tail = (tail + text).slice(-2);
    if (tail !== "\n\n") return;
    socket.destroy();
    resolve(parts.join(""));
  });
  socket.write(`${lines.join("\n")}\n\n`);
  return promise;
}
