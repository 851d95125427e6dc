import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { create } from "@bufbuild/protobuf";
import { type Latency, LatencySchema } from "../../../../../gen/service/node_pb.ts";
import { type Family, families, findDefaultRoute, sendingAddresses } from "./egress.ts";
import type { SystemTools } from "./system-tool.ts";

/** Options of {@link createLatencyProbe}. */
export interface LatencyProbeOptions {
  /** The interface by which packets leave. Undefined: that of the default route, of IPv4 before that of IPv6. */
  readonly egressInterface: string | undefined;
  readonly tools: SystemTools;
  /** Tells the time in Unix milliseconds. */
  readonly now: () => number;
}

/** What is asked. */
interface ProbeTarget {
  /** Of HTTP or HTTPS. */
  readonly url: string;
  readonly timeoutMs: number;
  /** Ends the probe before its time. */
  readonly signal: AbortSignal;
}

/**
 * Asks the target for its headers, out of the egress interface and not through the tunnel, in both families at once:
 * who answers first counts, whatever the HTTP status, and redirects are not followed. Who asks while a probe is under
 * way gets its result. Empty where there is no way out. Throws {@link ToolFailed}.
 */
export type LatencyProbe = (target: ProbeTarget) => Promise<Latency[]>;

/** Makes a probe that its askers share. */
export function createLatencyProbe(options: LatencyProbeOptions): LatencyProbe {
  let underWay: { target: ProbeTarget; result: Promise<Latency[]> } | undefined;
  return (target) => {
    if (underWay !== undefined && isSame(underWay.target, target)) return underWay.result;
    const own = { target, result: probe(target, options) };
    underWay = own;
    const end = () => {
      if (underWay === own) underWay = undefined;
    };
    own.result.then(end, end);
    return own.result;
  };
}

function isSame(left: ProbeTarget, right: ProbeTarget): boolean {
  return left.url === right.url && left.timeoutMs === right.timeoutMs && left.signal === right.signal;
}

async function probe(target: ProbeTarget, { egressInterface, tools, now }: LatencyProbeOptions): Promise<Latency[]> {
  const name = egressInterface ?? (await findDefaultRoute("ipv4", tools)) ?? (await findDefaultRoute("ipv6", tools));
  if (name === undefined) return [];
  const addresses = await sendingAddresses(name, tools);
  const tried = Math.floor(now() / 1_000);
  const since = performance.now();
  const decided = new AbortController();
  const signal = AbortSignal.any([target.signal, decided.signal, AbortSignal.timeout(target.timeoutMs)]);
  const alive = await Promise.any(families.map((family) => ask(target.url, family, addresses[family], signal))).then(
    () => true,
    () => false,
  );
  decided.abort();
  const delay = BigInt(Math.round(performance.now() - since));
  return [
    create(LatencySchema, {
      name,
      link: target.url,
      alive,
      delay,
      lastTryTime: BigInt(tried),
      lastSeenTime: BigInt(alive ? Math.floor(now() / 1_000) : 0),
      source: "wireguard-probe",
    }),
  ];
}

/**
 * Resolves when headers come; rejects when none do. Node cannot bind a socket to an interface, but to an address of it:
 * then answers can come by that interface only, and so do packets leave by it wherever routes go by source addresses,
 * as they must on a machine with several ways out. Where the default route is that of the interface there is no other
 * way.
 */
function ask(url: string, family: Family, localAddress: string | undefined, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  if (localAddress === undefined) {
    reject(new Error(`no address of ${family}`));
    return promise;
  }
  const request = (url.startsWith("https:") ? requestHttps : requestHttp)(url, {
    method: "HEAD",
    agent: false,
    family: family === "ipv4" ? 4 : 6,
    localAddress,
    signal,
  });
  request.on("response", () => {
    resolve();
    request.destroy();
  });
  request.on("error", reject);
  request.end();
  return promise;
}
