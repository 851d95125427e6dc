import type { WriteDocument } from "../../document.ts";
import { express } from "../express.ts";
import { ownNetworks } from "../routes.ts";
import { xrayOutbound } from "./xray-outbound.ts";

/**
 * A list of whole configs of Xray, one for each endpoint with its name as `remarks`: so apps show them as servers to
 * choose from. Each has a SOCKS proxy on port 10808, and one for HTTP on 10809.
 */
export const writeXray: WriteDocument = (endpoints) => {
  const { written, leftOut } = express(endpoints, xrayOutbound);
  const configs = written.map(([{ name }, outbound]) => ({
    remarks: name,
    log: { loglevel: "warning" },
    inbounds,
    outbounds: [outbound, { tag: "direct", protocol: "freedom" }, { tag: "block", protocol: "blackhole" }],
    routing: { domainStrategy: "AsIs", rules: [{ type: "field", ip: direct, outboundTag: "direct" }] },
  }));
  return { contentType: "application/json; charset=utf-8", body: JSON.stringify(configs), leftOut };
};

const sniffing = { enabled: true, destOverride: ["http", "tls", "quic"], routeOnly: true };
const inbounds = [
  {
    tag: "socks",
    listen: "127.0.0.1",
    port: 10808,
    protocol: "socks",
    settings: { auth: "noauth", udp: true },
    sniffing,
  },
  { tag: "http", listen: "127.0.0.1", port: 10809, protocol: "http", sniffing },
];

// Not `geoip:private`, which needs a file that need not be there.
const direct = [...ownNetworks.ipv4, ...ownNetworks.ipv6];
