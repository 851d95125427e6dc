import type { Endpoint, Transport } from "../../endpoint.ts";
import { pathWithEarlyData } from "./parameters.ts";

/** A link of VMess as v2rayN writes it: JSON in base64. It knows no REALITY, and little of what Xray alone has. */
export function vmessLink({ name, host, port, transport, security, masks }: Endpoint, id: string): string | undefined {
  const isMore = transport.kind === "xhttp" && Object.keys(transport.extra).length > 0;
  if (security.kind === "reality" || masks !== undefined || isMore) return undefined;
  const { sni, alpn, fingerprint, insecure } =
    security.kind === "tls" ? security : { sni: "", alpn: [], fingerprint: "", insecure: false };
  const told = {
    v: "2",
    ps: name,
    add: host,
    port: String(port),
    id,
    aid: "0",
    scy: "auto",
    ...transportMembers(transport),
    tls: security.kind === "tls" ? "tls" : "",
    sni,
    alpn: alpn.join(","),
    fp: fingerprint,
    ...(insecure && { insecure: "1", allowInsecure: "1" }),
  };
  return `vmess://${Buffer.from(JSON.stringify(told)).toString("base64")}`;
}

function transportMembers(transport: Transport): { net: string; type: string; host: string; path: string } {
  switch (transport.kind) {
    case "raw": {
      const { hosts = [], paths = [] } = transport.http ?? {};
      return { net: "tcp", type: transport.http ? "http" : "none", host: hosts.join(","), path: paths.join(",") };
    }
    case "ws":
      return { net: "ws", type: "none", host: transport.host, path: pathWithEarlyData(transport) };
    case "httpupgrade":
      return { net: "httpupgrade", type: "none", host: transport.host, path: transport.path };
    case "grpc": {
      const { serviceName, authority, multi } = transport;
      return { net: "grpc", type: multi ? "multi" : "gun", host: authority, path: serviceName };
    }
    case "xhttp":
      return { net: "xhttp", type: transport.mode || "auto", host: transport.host, path: transport.path };
    case "kcp":
      return { net: "kcp", type: "none", host: "", path: "" };
  }
}
