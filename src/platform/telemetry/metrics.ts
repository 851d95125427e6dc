import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** How a call ended. */
interface CallLabels {
  readonly service: string;
  readonly method: string;
  /** `grpc`, `grpc-web`, `connect` or `rest`. */
  readonly protocol: string;
  /** `ok`, or the gRPC code in lower case with underscores. */
  readonly code: string;
}

/** What is counted of calls. */
export interface CallMetrics {
  started(): void;
  ended(labels: CallLabels, seconds: number): void;
}

/** The metrics of a process. Labels carry names of the contract only: no e-mail, address or key. */
export interface Metrics {
  readonly registry: Registry;
  readonly calls: CallMetrics;
  /** A connection was closed by the server, for a reason out of a few. */
  connectionClosed(reason: string): void;
}

/** Makes the metrics of a service, in a registry of its own. */
export function createMetrics(service: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ garrison_service: service });
  collectDefaultMetrics({ register: registry });
  const labelNames = ["service", "method", "protocol", "code"] as const;
  const total = new Counter({
    name: "garrison_calls_total",
    help: "Calls that have ended, by method, protocol and code.",
    labelNames,
    registers: [registry],
  });
  const duration = new Histogram({
    name: "garrison_call_duration_seconds",
    help: "How long calls took, streams included.",
    labelNames: ["service", "method", "protocol"],
    buckets: [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60],
    registers: [registry],
  });
  const inFlight = new Gauge({
    name: "garrison_calls_in_flight",
    help: "Calls that are running now.",
    registers: [registry],
  });
  const closed = new Counter({
    name: "garrison_connections_closed_total",
    help: "Connections that the server closed by itself, by reason: too slow, too much, not what the port speaks.",
    labelNames: ["reason"],
    registers: [registry],
  });
  return {
    registry,
    calls: countCalls(total, duration, inFlight),
    connectionClosed: (reason) => closed.inc({ reason }),
  };
}

// prom-client hashes the labels at every call; a child per combination is looked up once.
function countCalls(
  total: Counter<"service" | "method" | "protocol" | "code">,
  duration: Histogram<"service" | "method" | "protocol">,
  inFlight: Gauge,
): CallMetrics {
  const children = new Map<string, { total: Counter.Internal; duration: Histogram.Internal<string> }>();
  const childOf = (labels: CallLabels) => {
    const key = `${labels.service}/${labels.method}/${labels.protocol}/${labels.code}`;
    let child = children.get(key);
    if (child === undefined) {
      const { code: _, ...call } = labels;
      child = { total: total.labels({ ...labels }), duration: duration.labels(call) };
      children.set(key, child);
    }
    return child;
  };
  return {
    started: () => inFlight.inc(),
    ended(labels, seconds) {
      inFlight.dec();
      const child = childOf(labels);
      child.total.inc();
      child.duration.observe(seconds);
    },
  };
}
