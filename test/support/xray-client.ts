import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { xrayPath } from "../xray-path.ts";
import { freePorts } from "./ports.ts";

/** A real Xray as its users run it: one SOCKS5 proxy for each outbound. */
export interface XrayClient {
  /** The ports of the proxies on 127.0.0.1, in the order of the outbounds. */
  readonly proxyPorts: readonly number[];
  close(): Promise<void>;
}

/** Starts a client with these outbounds; resolves when its proxies listen. */
export async function startXrayClient(outbounds: readonly object[]): Promise<XrayClient> {
  const proxyPorts = await freePorts(outbounds.length);
  const child = spawn(await xrayPath(), ["run", "-c", "stdin:"], { stdio: ["pipe", "pipe", "pipe"] });
  const output: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
  child.stderr.resume();
  const ended = once(child, "close");
  child.stdin.end(configOf(proxyPorts, outbounds));
  const gone = ended.then(() => {
    throw new Error(`the client ended before it listened:\n${Buffer.concat(output)}`);
  });
  gone.catch(() => undefined); // it ends one day
  await Promise.race([Promise.all(proxyPorts.map(listening)), gone]);
  return {
    proxyPorts,
    async close() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

function configOf(ports: readonly number[], outbounds: readonly object[]): string {
  return JSON.stringify({
    log: { loglevel: "warning" },
    inbounds: ports.map((port, index) => ({
      tag: `in-${index}`,
      listen: "127.0.0.1",
      port,
      protocol: "socks",
      settings: { auth: "noauth" },
    })),
    outbounds: outbounds.map((outbound, index) => ({ ...outbound, tag: `out-${index}` })),
    routing: { rules: ports.map((_, index) => ({ inboundTag: [`in-${index}`], outboundTag: `out-${index}` })) },
  });
}

/** Resolves once something listens on a port of this machine. */
async function listening(port: number): Promise<void> {
  while (!(await answers(port))) await sleep(20);
}

/** Whether something listens on a port of this machine. */
export async function answers(port: number): Promise<boolean> {
  const socket = connect({ host: "127.0.0.1", port });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
