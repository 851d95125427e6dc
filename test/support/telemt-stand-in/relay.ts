import { connect, createServer, type Server, type Socket } from "node:net";
import { acceptObfuscated, type ObfuscatedStream, openingBytes, openObfuscated } from "../obfuscated-stream.ts";
import type { StandInConfig } from "./config.ts";

/** What is known of a user since the process began. */
export interface UserStats {
  connectionsTotal: number;
  octetsFromClient: number;
  octetsToClient: number;
  messagesFromClient: number;
  messagesToClient: number;
  readonly recentAddresses: Set<string>;
  /** Live connections, by their sockets. */
  readonly sessions: Map<Socket, string>;
}

/** Carries connections to data centres, for whoever the config lets in at the moment. */
export class Relay {
  readonly stats = new Map<string, UserStats>();
  connectionsTotal = 0;
  connectionsBad = 0;
  readonly #config: () => StandInConfig;
  readonly #servers: Server[] = [];

  constructor(config: () => StandInConfig) {
    this.#config = config;
  }

  /** Rejects when an address is in use. */
  async listen(): Promise<void> {
    const { listeners, port } = this.#config().server;
    for (const { ip, port: own = port } of listeners) {
      const server = createServer((socket) => this.#serve(socket));
      this.#servers.push(server);
      const ipv6Only = ip.includes(":");
      await new Promise<void>((resolve, reject) => {
        server.on("error", reject);
        server.listen({ host: ip, port: own, ipv6Only }, resolve);
      });
    }
  }

  /** Ends the connections of a user. */
  cut(user: string): void {
    for (const socket of this.stats.get(user)?.sessions.keys() ?? []) socket.destroy();
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const user of this.stats.keys()) this.cut(user);
  }

  #serve(socket: Socket): void {
    this.connectionsTotal += 1;
    socket.on("error", () => undefined);
    let opening = Buffer.alloc(0);
    const onOpening = (chunk: Buffer) => {
      opening = Buffer.concat([opening, chunk]);
      if (opening.length < openingBytes) return;
      socket.off("data", onOpening);
      this.#open(socket, opening);
    };
    socket.on("data", onOpening);
  }

  #open(socket: Socket, received: Buffer): void {
    const found = this.#whose(received.subarray(0, openingBytes));
    const address = socket.remoteAddress ?? "";
    if (found === undefined || !this.#hasRoom(found.user, address)) {
      this.connectionsBad += 1;
      socket.destroy();
      return;
    }
    const { user, client, dc } = found;
    const target = this.#config().dc_overrides[`${dc}`];
    const [host = "", port = ""] = (Array.isArray(target) ? (target[0] ?? "") : (target ?? "")).split(":");
    const upstream = connect({ host, port: Number(port) });
    const server = openObfuscated(dc);
    upstream.write(server.opening);
    const stats = this.#statsOf(user);
    stats.connectionsTotal += 1;
    stats.octetsFromClient += openingBytes;
    stats.sessions.set(socket, address);
    stats.recentAddresses.add(address);
    const up = (chunk: Buffer) => {
      stats.octetsFromClient += chunk.length;
      stats.messagesFromClient += 1;
      upstream.write(server.encrypt.update(client.decrypt.update(chunk)));
    };
    if (received.length > openingBytes) up(received.subarray(openingBytes));
    socket.on("data", up);
    upstream.on("data", (chunk: Buffer) => {
      stats.octetsToClient += chunk.length;
      stats.messagesToClient += 1;
      socket.write(client.encrypt.update(server.decrypt.update(chunk)));
    });
    upstream.on("error", () => undefined);
    upstream.on("close", () => socket.destroy());
    socket.on("close", () => {
      stats.sessions.delete(socket);
      upstream.destroy();
    });
  }

  #whose(opening: Buffer): { user: string; client: ObfuscatedStream; dc: number } | undefined {
    const { general, access } = this.#config();
    for (const [user, secret] of Object.entries(access.users)) {
      const client = acceptObfuscated(opening, secret);
      if (client === undefined) continue;
      const isSecure = client.transport === 0xdddddddd;
      if (!(isSecure ? general.modes?.secure : general.modes?.classic)) return undefined;
      return access.user_enabled[user] === false ? undefined : { user, client, dc: client.dc };
    }
    return undefined;
  }

  #hasRoom(user: string, address: string): boolean {
    const { user_max_tcp_conns: connections, user_max_unique_ips: addresses } = this.#config().access;
    const sessions = this.stats.get(user)?.sessions ?? new Map<Socket, string>();
    const from = new Set([...sessions.values(), address]);
    return sessions.size < (connections[user] ?? Infinity) && from.size <= (addresses[user] ?? Infinity);
  }

  #statsOf(user: string): UserStats {
    const known = this.stats.get(user);
    if (known !== undefined) return known;
    const stats = {
      connectionsTotal: 0,
      octetsFromClient: 0,
      octetsToClient: 0,
      messagesFromClient: 0,
      messagesToClient: 0,
      recentAddresses: new Set<string>(),
      sessions: new Map<Socket, string>(),
    };
    this.stats.set(user, stats);
    return stats;
  }
}
