import type { NodeServices } from "../../../../gen/garrison/core/v1/node_config_pb.ts";

/** The ports that the inbounds of a config name, by engine, ascending. Ranges are left out. */
export function portsOf(services: NodeServices | undefined): Readonly<Record<"xray" | "mtproto", readonly number[]>> {
  const inbounds: readonly { readonly port?: unknown }[] = services?.xray ? JSON.parse(services.xray.inbounds) : [];
  return {
    xray: ascending(inbounds.map(({ port }) => Number(port))),
    mtproto: ascending((services?.mtproto?.inbounds ?? []).map(({ port }) => port)),
  };
}

function ascending(ports: readonly number[]): number[] {
  return [...new Set(ports.filter((port) => Number.isInteger(port) && port > 0 && port <= 65_535))].sort(
    (a, b) => a - b,
  );
}
