import { execFile, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { wireGuardPath } from "../wireguard-path.ts";
import type { NetworkNamespace } from "./network-namespace.ts";

const run = promisify(execFile);

/** A key pair of WireGuard, base64. */
export interface WireGuardKeys {
  readonly publicKey: string;
  readonly privateKey: string;
}

/** Makes a key pair. */
export function makeKeys(): WireGuardKeys {
  const { x = "", d = "" } = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  const base64 = (text: string) => Buffer.from(text, "base64url").toString("base64");
  return { publicKey: base64(x), privateKey: base64(d) };
}

/** Runs wireguard-go in a network, with an interface of this name, which no other on this machine may have. */
export async function startWireGuard(
  name: string,
  network: NetworkNamespace,
): Promise<{ readonly pid: number; close(): Promise<void> }> {
  const [enter = "", ...args] = [...network.enter, await wireGuardPath(), "-f", name];
  const process = spawn(enter, args, { stdio: "ignore" });
  const ended = once(process, "close");
  const answers = () =>
    run("wg", ["show", name]).then(
      () => true,
      () => false,
    );
  while (!(await answers())) {
    if (process.exitCode !== null) throw new Error(`wireguard-go has ended with ${process.exitCode}`);
    await sleep(10);
  }
  return {
    pid: process.pid ?? 0,
    async close() {
      process.kill("SIGTERM");
      await ended;
    },
  };
}

/** What a peer is set up with, besides its network. */
export interface PeerSettings {
  /** Of its interface: of no other on this machine. */
  readonly name: string;
  readonly keys: WireGuardKeys;
  /** Its addresses in the tunnel. */
  readonly addresses: readonly string[];
  /** The ranges that lie behind the server. */
  readonly behind: readonly string[];
  readonly server: { readonly publicKey: string; readonly address: string; readonly port: number };
  readonly preSharedKey?: string;
}

/** Somebody who connects to a server, from a network of their own. */
export interface WireGuardPeer {
  readonly name: string;
  readonly network: NetworkNamespace;
  /** What its own WireGuard has counted of the server, and when it shook hands last, in Unix seconds. */
  state(): Promise<{ sentBytes: number; receivedBytes: number; lastHandshake: number }>;
  /** Has it speak as somebody else from now on. */
  use(keys: WireGuardKeys): Promise<void>;
  /** Has it begin anew, as a client does that is started: it knows of no session, and has counted nothing. */
  beginAnew(keys?: WireGuardKeys): Promise<void>;
  close(): Promise<void>;
}

/** Starts a peer by the kernel's programs and wireguard-go, without anything of ours. */
export async function startPeer(network: NetworkNamespace, settings: PeerSettings): Promise<WireGuardPeer> {
  const { name, addresses, behind, server, preSharedKey } = settings;
  const directory = await mkdtemp(join(tmpdir(), "garrison-peer-"));
  const wireGuard = await startWireGuard(name, network);
  let { keys } = settings;
  const configure = async (verb: "setconf" | "syncconf") => {
    const file = join(directory, "peer.conf");
    const lines = [
      "[Interface]",
      `PrivateKey = ${keys.privateKey}`,
      "[Peer]",
      `PublicKey = ${server.publicKey}`,
      ...(preSharedKey === undefined ? [] : [`PresharedKey = ${preSharedKey}`]),
      `Endpoint = ${server.address.includes(":") ? `[${server.address}]` : server.address}:${server.port}`,
      `AllowedIPs = ${behind.join(", ")}`,
    ];
    await writeFile(file, `${lines.join("\n")}\n`, { mode: 0o600 });
    await run("wg", [verb, name, file]);
  };
  await configure("setconf");
  const ip = (...args: string[]) => run("ip", ["-n", network.name, ...args]);
  for (const address of addresses) await ip("address", "add", address, "dev", name);
  await ip("link", "set", "dev", name, "up");
  for (const range of behind) await ip("route", "add", range, "dev", name);
  return {
    name,
    network,
    async state() {
      const { stdout } = await run("wg", ["show", name, "dump"]);
      const [, , , , lastHandshake, receivedBytes, sentBytes] = stdout.trimEnd().split("\n")[1]?.split("\t") ?? [];
      return {
        sentBytes: Number(sentBytes),
        receivedBytes: Number(receivedBytes),
        lastHandshake: Number(lastHandshake),
      };
    },
    use(others) {
      keys = others;
      return configure("syncconf");
    },
    beginAnew(others = keys) {
      keys = others;
      return configure("setconf");
    },
    async close() {
      await wireGuard.close();
      await rm(directory, { recursive: true });
    },
  };
}
