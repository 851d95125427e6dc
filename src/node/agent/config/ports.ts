import type { NodeServices } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { EngineName } from "../engines/driven-engine.ts";

/** The ports that the inbounds of a config name, by engine, ascending. Ranges are left out. */
export function portsOf(services: NodeServices | undefined): Readonly<Record<EngineName, readonly number[]>> {
  const inbounds: readonly { readonly port?: unknown }[] = services?.xray ? JSON.parse(services.xray.inbounds) : [];
  return {
    xray: ascending(inbounds.map(({ port }) => Number(port))),
    mtproto: ascending((services?.mtproto?.inbounds ?? []).map(({ port }) => port)),
    wireguard: ascending((services?.wireguard?.inbounds ?? []).map(({ port }) => port)),
  };
}

function ascending(ports: readonly number[]): number[] {
  return [...new Set(ports.filter((port) => Number.isInteger(port) && port > 0 && port <= 65_535))].sort(
    (a, b) => a - b,
  );
}
