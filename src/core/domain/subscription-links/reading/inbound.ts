import { objectIn } from "../../fleet/json-object.ts";
import type { Masks, Security, Transport } from "../endpoint.ts";
import type { ViewedProtocol } from "../subscription-view.ts";
import { type AccessOf, readAccess } from "./access.ts";
import { readHost } from "./host.ts";
import { readObject } from "./lenient.ts";
import { readLinkSettings } from "./link-settings.ts";
import { readMasks, readSalamander } from "./masks.ts";
import { readSecurity } from "./security.ts";
import { readTransport } from "./transport.ts";

/** What all users of a node protocol have to know of it. */
export interface Inbound {
  readonly host: string;
  readonly port: number;
  readonly transport: Transport;
  readonly security: Security;
  readonly masks?: Masks;
  readonly accessOf: AccessOf;
}

/** Reads it from the settings of a node protocol. Undefined when they say something that nobody could be told how to reach. */
export function readInbound(protocol: ViewedProtocol): Inbound | undefined {
  const settings = readObject(protocol.settings);
  if (settings === undefined) return undefined;
  const link = readLinkSettings(protocol.linkSettings);
  const nodeHost = readHost(protocol.node.host);
  const host = link.host || nodeHost;
  const stream = objectIn(settings.streamSettings) ?? {};
  const accessOf = readAccess(protocol.protocol, settings, link);
  const transport = readTransport(stream, link);
  const security = readSecurity(settings, link, [host, nodeHost]);
  if (host === "" || accessOf === undefined || transport === undefined || security === undefined) return undefined;
  // Those of Hysteria 2 belong to how its users are known.
  const masks = protocol.protocol === "hysteria2" && readSalamander(stream) !== "" ? undefined : readMasks(stream);
  return {
    host,
    port: link.port ?? protocol.port,
    transport: withHost(transport, security, host),
    security,
    accessOf,
    ...(masks && { masks }),
  };
}

/** Xray's clients ask HTTP, when they are told no host, for what they ask TLS for. Others have to be told. */
function withHost(transport: Transport, security: Security, host: string): Transport {
  if (security.kind === "none" || security.sni === host || !("host" in transport) || transport.host !== "") {
    return transport;
  }
  return { ...transport, host: security.sni };
}
