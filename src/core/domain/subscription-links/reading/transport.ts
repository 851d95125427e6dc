import { type JsonObject, objectIn } from "../../fleet/json-object.ts";
import type { Transport } from "../endpoint.ts";
import { hostHeaderIn, textIn, textsIn, wholeIn } from "./lenient.ts";
import type { LinkSettings } from "./link-settings.ts";

/** How an inbound of Xray with these `streamSettings` is reached; undefined when it is not known how. */
export function readTransport(stream: JsonObject, link: LinkSettings): Transport | undefined {
  const network = textIn(stream, "network") || "raw";
  return readers.get(network)?.(stream, link);
}

type Read = (stream: JsonObject, link: LinkSettings) => Transport;

function settingsOf(stream: JsonObject, ...names: string[]): JsonObject {
  for (const name of names) {
    const found = objectIn(stream[name]);
    if (found !== undefined) return found;
  }
  return {};
}

const raw: Read = (stream, link) => {
  const header = objectIn(settingsOf(stream, "rawSettings", "tcpSettings").header) ?? {};
  if (header.type !== "http") return { kind: "raw" };
  const request = objectIn(header.request) ?? {};
  const host = link.hostHeader || hostHeaderIn(objectIn(request.headers));
  const paths = link.path === "" ? textsIn(request, "path") : [link.path];
  return { kind: "raw", http: { hosts: host === "" ? [] : [host], paths: paths.length > 0 ? paths : ["/"] } };
};

const ws: Read = (stream, link) => {
  const settings = settingsOf(stream, "wsSettings");
  const { path, earlyDataBytes } = splitPath(link.path || textIn(settings, "path"));
  return { kind: "ws", path, earlyDataBytes, host: hostOf(settings, link) };
};

const httpupgrade: Read = (stream, link) => {
  const settings = settingsOf(stream, "httpupgradeSettings");
  return {
    kind: "httpupgrade",
    path: splitPath(link.path || textIn(settings, "path")).path,
    host: hostOf(settings, link),
  };
};

const grpc: Read = (stream, link) => {
  const settings = settingsOf(stream, "grpcSettings");
  return {
    kind: "grpc",
    serviceName: link.path || textIn(settings, "serviceName"),
    authority: link.hostHeader || textIn(settings, "authority"),
    multi: settings.multiMode === true,
  };
};

const xhttp: Read = (stream, link) => {
  const settings = settingsOf(stream, "xhttpSettings", "splithttpSettings");
  const agreed = objectIn(settings.extra) ?? settings;
  return {
    kind: "xhttp",
    path: withSlash(link.path || textIn(settings, "path")),
    host: hostOf(settings, link),
    mode: textIn(settings, "mode"),
    extra: Object.fromEntries(Object.entries(agreed).filter(([name]) => !notInExtra.has(name))),
  };
};

// Those that have a place of their own, and those that concern the server alone.
const notInExtra = new Set([
  ...["host", "path", "mode", "extra"],
  ...["noSSEHeader", "scMaxBufferedPosts", "scStreamUpServerSecs", "serverMaxHeaderBytes"],
]);

const kcp: Read = (stream) => {
  const settings = settingsOf(stream, "kcpSettings");
  return { kind: "kcp", mtu: wholeIn(settings, "mtu", 1), tti: wholeIn(settings, "tti", 1) };
};

const readers: ReadonlyMap<string, Read> = new Map([
  ["raw", raw],
  ["tcp", raw],
  // Hysteria brings a transport of its own.
  ["hysteria", () => ({ kind: "raw" as const })],
  ["ws", ws],
  ["websocket", ws],
  ["httpupgrade", httpupgrade],
  ["grpc", grpc],
  ["xhttp", xhttp],
  ["splithttp", xhttp],
  ["kcp", kcp],
  ["mkcp", kcp],
]);

function hostOf(settings: JsonObject, { hostHeader }: LinkSettings): string {
  return hostHeader || textIn(settings, "host") || hostHeaderIn(objectIn(settings.headers));
}

/** Takes `?ed=<bytes>` off a path, by which Xray's clients are told of early data. */
function splitPath(whole: string): { path: string; earlyDataBytes: number } {
  const [path = "", query] = withSlash(whole).split(/\?(.*)/s);
  const parameters = new URLSearchParams(query);
  const earlyDataBytes = wholeIn({ ed: parameters.get("ed") }, "ed", 1) ?? 0;
  if (earlyDataBytes === 0) return { path: withSlash(whole), earlyDataBytes };
  parameters.delete("ed");
  return { path: parameters.size > 0 ? `${path}?${parameters}` : path, earlyDataBytes };
}

function withSlash(path: string): string {
  return path.startsWith("/") ? path : `/${path}`;
}
