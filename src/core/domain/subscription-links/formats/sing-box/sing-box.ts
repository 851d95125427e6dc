import type { WriteDocument } from "../../document.ts";
import { groupNames } from "../../endpoint-names.ts";
import { express, namesToChooseFrom } from "../express.ts";
import { probeUrl } from "../routes.ts";
import { isWireGuard } from "../wireguard/wireguard-config.ts";
import { singBoxOutbound } from "./sing-box-outbound.ts";

/**
 * A config for sing-box 1.12 and newer, and for the apps around it: they take all traffic by `tun`, and besides there is
 * a proxy for SOCKS and HTTP on port 2080. Names are asked for through the tunnel.
 */
export const writeSingBox: WriteDocument = (endpoints) => {
  const { written, leftOut } = express(endpoints, singBoxOutbound);
  const tags = written.map(([{ name }]) => name);
  const automatic = namesToChooseFrom(written.map(([endpoint]) => endpoint));
  const { chosen, fastest } = groupNames;
  const [tunnels, outbounds] = [true, false].map((wanted) =>
    written.filter(([endpoint]) => isWireGuard(endpoint) === wanted).map(([, outbound]) => outbound),
  ) as [object[], object[]]; // as many as there are values
  const config = {
    log: { level: "warn" },
    dns: {
      servers: [
        { type: "https", tag: "remote", server: "1.1.1.1", ...(tags.length > 0 && { detour: chosen }) },
        { type: "local", tag: "local" },
      ],
      final: "remote",
    },
    inbounds: [
      {
        type: "tun",
        tag: "tun-in",
        address: ["172.19.0.1/30", "fdfe:dcba:9876::1/126"],
        auto_route: true,
        strict_route: true,
      },
      { type: "mixed", tag: "mixed-in", listen: "127.0.0.1", listen_port: 2080 },
    ],
    outbounds: [
      ...(tags.length > 0
        ? [
            { type: "selector", tag: chosen, outbounds: [fastest, ...tags], default: fastest },
            { type: "urltest", tag: fastest, outbounds: automatic, url: probeUrl, interval: "5m" },
          ]
        : []),
      ...outbounds,
      { type: "direct", tag: "direct" },
    ],
    ...(tunnels.length > 0 && { endpoints: tunnels }),
    route: {
      rules: [
        { action: "sniff" },
        { protocol: "dns", action: "hijack-dns" },
        { ip_is_private: true, outbound: "direct" },
        // Without a way there shall be none past it either.
        ...(tags.length > 0 ? [] : [{ action: "reject" }]),
      ],
      final: tags.length > 0 ? chosen : "direct",
      auto_detect_interface: true,
      // How the names of nodes are found, before there is a tunnel.
      default_domain_resolver: "local",
    },
  };
  return { contentType: "application/json; charset=utf-8", body: JSON.stringify(config), leftOut };
};
