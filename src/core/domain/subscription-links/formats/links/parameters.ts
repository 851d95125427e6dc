import type { Security, Transport } from "../../endpoint.ts";

/** Parameters of a link; those that are empty are left out. */
export type Parameters = { readonly [name: string]: string };

/** Parameters as the query of a link. */
export function query(parameters: Parameters): string {
  return Object.entries(parameters)
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join("&");
}

/** How links of VLESS and Trojan tell a transport: a query. */
export const transportQuery = remembered((transport: Transport) => query(transportParameters(transport)));

/** How links of VLESS and Trojan tell what a transport is wrapped in: a query. */
export const securityQuery = remembered((security: Security) => query(securityParameters(security)));

/** Writes once what is the same for all users of an inbound. */
function remembered<T extends object>(write: (of: T) => string): (of: T) => string {
  const known = new WeakMap<T, string>();
  return (of) => {
    let written = known.get(of);
    if (written === undefined) {
      written = write(of);
      known.set(of, written);
    }
    return written;
  };
}

function transportParameters(transport: Transport): Parameters {
  switch (transport.kind) {
    case "raw": {
      const { hosts = [], paths = [] } = transport.http ?? {};
      const pretends = { headerType: "http", host: hosts.join(","), path: paths.join(",") };
      return { type: "tcp", ...(transport.http !== undefined && pretends) };
    }
    case "ws":
      return { type: "ws", host: transport.host, path: pathWithEarlyData(transport) };
    case "httpupgrade":
      return { type: "httpupgrade", host: transport.host, path: transport.path };
    case "grpc": {
      const { serviceName, authority, multi } = transport;
      return { type: "grpc", serviceName, authority, mode: multi ? "multi" : "gun" };
    }
    case "xhttp": {
      const { host, path, mode, extra } = transport;
      return { type: "xhttp", host, path, mode, extra: Object.keys(extra).length > 0 ? JSON.stringify(extra) : "" };
    }
    case "kcp":
      return { type: "kcp", mtu: String(transport.mtu ?? ""), tti: String(transport.tti ?? "") };
  }
}

/** The path as Xray and its clients tell of early data. */
export function pathWithEarlyData({ path, earlyDataBytes }: Extract<Transport, { kind: "ws" }>): string {
  return earlyDataBytes === 0 ? path : `${path}${path.includes("?") ? "&" : "?"}ed=${earlyDataBytes}`;
}

function securityParameters(security: Security): Parameters {
  switch (security.kind) {
    case "none":
      return { security: "none" };
    case "tls":
      return {
        security: "tls",
        sni: security.sni,
        alpn: security.alpn.join(","),
        fp: security.fingerprint,
        // By two names, as Xray's clients and others have it.
        allowInsecure: security.insecure ? "1" : "",
        insecure: security.insecure ? "1" : "",
        pcs: security.certificate?.sha256 ?? "",
      };
    case "reality": {
      const { sni, fingerprint, publicKey, shortId, spiderX } = security;
      return { security: "reality", sni, fp: fingerprint, pbk: publicKey, sid: shortId, spx: spiderX };
    }
  }
}
