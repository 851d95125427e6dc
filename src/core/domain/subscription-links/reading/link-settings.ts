import { readHost } from "./host.ts";
import { readObject, textIn, textsIn, wholeIn } from "./lenient.ts";

/** What links say otherwise than the settings of a node protocol: `link_settings` of the fleet API. Empty: nothing. */
export interface LinkSettings {
  readonly host: string;
  readonly port: number | undefined;
  readonly sni: string;
  readonly hostHeader: string;
  readonly path: string;
  readonly fingerprint: string;
  readonly alpn: readonly string[];
  readonly allowInsecure: boolean | undefined;
}

/** Reads them. What is not of its kind is nothing. */
export function readLinkSettings(text: string): LinkSettings {
  const given = readObject(text) ?? {};
  const port = wholeIn(given, "port", 1);
  return {
    host: readHost(textIn(given, "host")),
    port: port !== undefined && port <= 65_535 ? port : undefined,
    sni: textIn(given, "sni"),
    hostHeader: textIn(given, "hostHeader"),
    path: textIn(given, "path"),
    fingerprint: textIn(given, "fingerprint"),
    alpn: textsIn(given, "alpn"),
    allowInsecure: typeof given.allowInsecure === "boolean" ? given.allowInsecure : undefined,
  };
}
