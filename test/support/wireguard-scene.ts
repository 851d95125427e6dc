import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { create } from "@bufbuild/protobuf";
import { BackendType, type User, UserSchema } from "../../gen/service/node_pb.ts";
import { type CompatNode, startNode } from "../compat/harness.ts";
import { makeNamespace, type NetworkNamespace } from "./network-namespace.ts";
import { type NetworkTraffic, startTraffic, type Way } from "./network-traffic.ts";
import { makeKeys, startPeer, type WireGuardKeys, type WireGuardPeer } from "./wireguard-peer.ts";

const run = promisify(execFile);

/** Somebody whom a node may serve. */
export interface Person {
  readonly email: string;
  readonly keys: WireGuardKeys;
  /** Addresses in the tunnel, of both families. */
  readonly ips: readonly [string, string];
  readonly user: User;
}

/** Somebody who is connected, from a network of their own. */
export interface ConnectedPerson extends Person {
  readonly peer: WireGuardPeer;
  readonly traffic: NetworkTraffic;
  /** Where they are connected from. */
  readonly address: string;
  close(): Promise<void>;
}

/** What the node's WireGuard holds of one peer, as `wg` tells it. */
interface HeldPeer {
  readonly publicKey: string;
  readonly preSharedKey: string;
  readonly endpoint: string;
  readonly allowedIps: readonly string[];
  readonly lastHandshake: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly keepalive: string;
}

/** A node in a network of its own, and what lies behind it. */
export interface WireGuardScene {
  readonly network: NetworkNamespace;
  readonly node: CompatNode;
  /** The interface's name: of no other on this machine. */
  readonly name: string;
  readonly serverKeys: WireGuardKeys;
  /** What answers behind the node: sends datagrams back, and takes and gives bytes. */
  readonly target: { readonly v4: Way; readonly v6: Way };
  /** A Start of WireGuard with these users; `more` replaces parts of the config. */
  backend(users: readonly User[], more?: object): { type: BackendType; config: string; users: User[] };
  /** The nth person, 2 to 250, with keys of their own each time. */
  person(number: number): Person;
  /** A user like this person, with other things of WireGuard's. */
  userWith(person: Person, wireguard: { publicKey?: string; peerIps?: readonly string[] }): User;
  /** Connects somebody; WireGuard shakes hands when they send something. */
  connect(person: Person, preSharedKey?: string): Promise<ConnectedPerson>;
  /** What the interface holds, sorted by key. Fails when there is none. */
  held(): Promise<{ readonly privateKey: string; readonly listenPort: number; readonly peers: readonly HeldPeer[] }>;
  /** Runs a program of the system in the node's network. */
  inside(program: string, ...args: string[]): Promise<string>;
  /** Starts another node, in the same network. */
  startNode(variables?: Record<string, string>): Promise<CompatNode>;
  close(): Promise<void>;
}

export const listenPort = 51_820;
const targetPort = 7_777;
const behind = { v4: "10.99.0.1", v6: "fd99::1" };
let scenes = 0;

/** Starts a node in a network of its own, and a target behind it. */
export async function startScene(variables: Record<string, string> = {}): Promise<WireGuardScene> {
  const name = `gs${process.pid}x${++scenes}`;
  const network = await makeNamespace(1);
  const inside = async (program: string, ...args: string[]) => {
    const [enter = "", ...rest] = [...network.enter, program, ...args];
    return (await run(enter, rest)).stdout;
  };
  const more = new Set<CompatNode>();
  const connected = new Set<ConnectedPerson>();
  await inside("ip", "address", "add", `${behind.v4}/32`, "dev", "lo");
  await inside("ip", "address", "add", `${behind.v6}/128`, "dev", "lo", "nodad");
  const answering = await startTraffic(network);
  const target = { v4: { host: behind.v4, port: targetPort }, v6: { host: behind.v6, port: targetPort } };
  for (const way of Object.values(target)) await answering.serve(way);
  const serverKeys = makeKeys();
  const node = await startNode(variables, network);

  const userOf = (email: string, publicKey: string, peerIps: readonly string[]) =>
    create(UserSchema, {
      email,
      inbounds: [name],
      proxies: {
        vmess: {},
        vless: {},
        trojan: {},
        shadowsocks: {},
        wireguard: { publicKey, peerIps: [...peerIps] },
        hysteria: {},
      },
    });
  return {
    ...{ network, node, name, serverKeys, target, inside },
    backend: (users, parts = {}) => ({
      type: BackendType.WIREGUARD,
      config: JSON.stringify({
        interface_name: name,
        private_key: serverKeys.privateKey,
        listen_port: listenPort,
        address: ["10.66.0.1/24", "fd66::1/64"],
        ...parts,
      }),
      users: [...users],
    }),
    person(number) {
      const keys = makeKeys();
      const ips = [`10.66.0.${number}/32`, `fd66::${number.toString(16)}/128`] as const;
      const email = String(number);
      return { email, keys, ips, user: userOf(email, keys.publicKey, ips) };
    },
    userWith: ({ email, keys, ips }, { publicKey = keys.publicKey, peerIps = ips }) =>
      userOf(email, publicKey, peerIps),
    async connect(person, preSharedKey) {
      const own = await makeNamespace(1, network);
      const peer = await startPeer(own, {
        name: `gp${process.pid}x${person.email}`,
        keys: person.keys,
        addresses: person.ips,
        behind: ["10.66.0.1/32", "fd66::1/128", `${behind.v4}/32`, `${behind.v6}/128`],
        server: { publicKey: serverKeys.publicKey, address: own.outside.v4, port: listenPort },
        ...(preSharedKey !== undefined && { preSharedKey }),
      });
      const traffic = await startTraffic(own);
      const somebody: ConnectedPerson = {
        ...person,
        ...{ peer, traffic, address: own.inside[0]?.v4 ?? "" },
        async close() {
          connected.delete(somebody);
          await traffic.close();
          await peer.close();
          await own.close();
        },
      };
      connected.add(somebody);
      return somebody;
    },
    async held() {
      const [own = "", ...lines] = (await run("wg", ["show", name, "dump"])).stdout.trimEnd().split("\n");
      const [privateKey = "", , port] = own.split("\t");
      const peers = lines.map((line) => {
        const [publicKey = "", preSharedKey = "", endpoint = "", ranges = "", handshake, received, sent, keepalive] =
          line.split("\t");
        return {
          ...{ publicKey, preSharedKey, endpoint },
          allowedIps: ranges === "(none)" ? [] : ranges.split(",").sort(),
          lastHandshake: Number(handshake),
          receivedBytes: Number(received),
          sentBytes: Number(sent),
          keepalive: keepalive ?? "",
        };
      });
      peers.sort((left, right) => (left.publicKey < right.publicKey ? -1 : 1));
      return { privateKey, listenPort: Number(port), peers };
    },
    async startNode(other = {}) {
      const started = await startNode(other, network);
      more.add(started);
      return started;
    },
    async close() {
      for (const somebody of [...connected]) await somebody.close();
      for (const each of [node, ...more]) await each.close();
      await answering.close();
      await network.close();
    },
  };
}

/**
 * What WireGuard counts of a datagram that carries so many bytes: an IP packet with its header and UDP's, filled up to a
 * multiple of 16, and 32 bytes of its own. Handshakes are counted besides: 148 bytes by whoever begins one, 92 by the other.
 */
export function countedOf(bytes: number, family: "v4" | "v6" = "v4"): number {
  return Math.ceil(((family === "v4" ? 20 : 40) + 8 + bytes) / 16) * 16 + 32;
}

export const handshakeBytes = { begun: 148, answered: 92 };
