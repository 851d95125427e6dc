import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "./ports.ts";

/** A proxy program as its users run it: one SOCKS5 proxy for each outbound. */
export interface ProxyClient {
  /** The ports of the proxies on 127.0.0.1, in the order of the outbounds. */
  readonly proxyPorts: readonly number[];
  close(): Promise<void>;
}

/** Another network than the test's own. */
export interface Place {
  /** What to put in front of a command, so that it runs there. */
  readonly enter: readonly string[];
  /** Where the test reaches a proxy there. */
  readonly host: string;
}

/** Options of {@link startProxyClient}. */
export interface ProxyClientOptions {
  executable: string;
  /** With these it reads its config from stdin. */
  args: readonly string[];
  outbounds: readonly object[];
  /** Where it runs. Default: beside the test. */
  place?: Place | undefined;
  /** The config with one proxy for each outbound. */
  configOf: (ports: readonly number[], outbounds: readonly object[]) => object;
}

/** Starts a client; resolves when its proxies listen. */
export async function startProxyClient(options: ProxyClientOptions): Promise<ProxyClient> {
  const { executable, outbounds, configOf, place = { enter: [], host: "127.0.0.1" } } = options;
  const [command = "", ...args] = [...place.enter, executable, ...options.args];
  const proxyPorts = await freePorts(outbounds.length);
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => output.push(chunk));
  const ended = once(child, "close");
  child.stdin.end(JSON.stringify(configOf(proxyPorts, outbounds)));
  const gone = ended.then(() => {
    throw new Error(`the client ended before it listened:\n${Buffer.concat(output)}`);
  });
  gone.catch(() => undefined); // it ends one day
  await Promise.race([Promise.all(proxyPorts.map((port) => listening(port, place.host))), gone]);
  return {
    proxyPorts,
    async close() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** Resolves once something listens there. */
async function listening(port: number, host: string): Promise<void> {
  while (!(await reaches(host, port))) await sleep(20);
}

/** Whether something listens on a port of this machine. */
export function answers(port: number): Promise<boolean> {
  return reaches("127.0.0.1", port);
}

async function reaches(host: string, port: number): Promise<boolean> {
  const socket = connect({ host, port });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
