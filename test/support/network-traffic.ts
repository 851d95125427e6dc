import { spawn } from "node:child_process";
import { once } from "node:events";
import type { NetworkNamespace } from "./network-namespace.ts";

/** Where something is sent. */
export interface Way {
  readonly host: string;
  readonly port: number;
}

/** Datagrams, and how many bytes each carries. */
export interface Exchange {
  readonly count: number;
  readonly bytes: number;
}

/** How many pings were sent, and the numbers of those that never came back. */
export interface Pinged {
  readonly sent: number;
  readonly lost: readonly number[];
}

/** What a process can be asked to do, and what it returns. */
export interface TrafficCall {
  serve: [Way, undefined];
  datagrams: [Way & Exchange, undefined];
  tcp: [Way & { readonly up: number; readonly down: number }, undefined];
  startPinging: [Way & { readonly everyMs: number; readonly bytes: number }, undefined];
  stopPinging: [undefined, Pinged[]];
}

/** What a process answers. */
export type TrafficReply = { readonly id: number; readonly result?: unknown; readonly failure?: string };

/** A process inside a network that makes traffic there. */
export interface NetworkTraffic {
  /** Answers there: sends datagrams back, and takes and gives bytes over TCP. */
  serve(way: Way): Promise<undefined>;
  /** Sends datagrams, each when the one before has come back. Throws when one does not within two seconds. */
  datagrams(exchange: Way & Exchange): Promise<undefined>;
  /** Sends `up` bytes over a connection, at least 8, and takes `down`. Throws when they do not come. */
  tcp(exchange: TrafficCall["tcp"][0]): Promise<undefined>;
  /** Sends datagrams at a steady pace, whether they come back or not. */
  startPinging(ping: TrafficCall["startPinging"][0]): Promise<undefined>;
  /** Ends all pings, and tells what became of them, in the order of their starts. */
  stopPinging(): Promise<Pinged[]>;
  close(): Promise<void>;
}

const program = new URL("./network-traffic-process.ts", import.meta.url).pathname;

/** Starts a process that makes traffic inside a network. */
export async function startTraffic(network: NetworkNamespace): Promise<NetworkTraffic> {
  const [enter = "", ...args] = [...network.enter, process.execPath, program];
  const child = spawn(enter, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const ended = once(child, "exit");
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let asked = 0;
  const [ready] = await Promise.race([once(child, "message"), ended.then(() => [])]);
  if (ready === undefined) throw new Error("the process inside the network did not start");
  child.on("message", ({ id, result, failure }: TrafficReply) => {
    if (failure === undefined) waiting.get(id)?.resolve(result);
    else waiting.get(id)?.reject(new Error(failure));
    waiting.delete(id);
  });
  child.on("exit", () => {
    for (const { reject } of waiting.values()) reject(new Error("the process inside the network has ended"));
  });
  const call = <Name extends keyof TrafficCall>(name: Name, args: TrafficCall[Name][0]) => {
    const reply = Promise.withResolvers<unknown>();
    const id = asked++;
    waiting.set(id, reply);
    child.send({ id, name, args });
    return reply.promise as Promise<TrafficCall[Name][1]>;
  };
  return {
    serve: (way) => call("serve", way),
    datagrams: (exchange) => call("datagrams", exchange),
    tcp: (exchange) => call("tcp", exchange),
    startPinging: (ping) => call("startPinging", ping),
    stopPinging: () => call("stopPinging", undefined),
    async close() {
      child.disconnect();
      await ended;
    },
  };
}
