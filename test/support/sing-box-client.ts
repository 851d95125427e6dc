import { singBoxPath } from "../sing-box-path.ts";
import { type ProxyClient, startProxyClient } from "./proxy-client.ts";

/** Starts a real sing-box as a client with these outbounds; resolves when its proxies listen. */
export async function startSingBoxClient(outbounds: readonly object[]): Promise<ProxyClient> {
  return startProxyClient({ executable: await singBoxPath(), args: ["run", "-c", "stdin"], outbounds, configOf });
}

function configOf(ports: readonly number[], outbounds: readonly object[]): object {
  return {
    log: { level: "warn" },
    inbounds: ports.map((port, index) => ({
      type: "socks",
      tag: `in-${index}`,
      listen: "127.0.0.1",
      listen_port: port,
    })),
    outbounds: outbounds.map((outbound, index) => ({ ...outbound, tag: `out-${index}` })),
    route: { rules: ports.map((_, index) => ({ inbound: [`in-${index}`], outbound: `out-${index}` })) },
  };
}
