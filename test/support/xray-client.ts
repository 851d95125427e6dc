import { xrayPath } from "../xray-path.ts";
import { type Place, type ProxyClient, startProxyClient } from "./proxy-client.ts";

/** Starts a real Xray as a client with these outbounds; resolves when its proxies listen. */
export async function startXrayClient(outbounds: readonly object[], place?: Place): Promise<ProxyClient> {
  const listen = place?.host ?? "127.0.0.1";
  return startProxyClient({
    executable: await xrayPath(),
    args: ["run", "-c", "stdin:"],
    outbounds,
    place,
    configOf: (ports) => configOf(listen, ports, outbounds),
  });
}

function configOf(listen: string, ports: readonly number[], outbounds: readonly object[]): object {
  return {
    log: { loglevel: "warning" },
    inbounds: ports.map((port, index) => ({
      tag: `in-${index}`,
      listen,
      port,
      protocol: "socks",
      settings: { auth: "noauth" },
    })),
    outbounds: outbounds.map((outbound, index) => ({ ...outbound, tag: `out-${index}` })),
    routing: { rules: ports.map((_, index) => ({ inboundTag: [`in-${index}`], outboundTag: `out-${index}` })) },
  };
}
