import type { JsonObject } from "../json-object.ts";
import type { Random } from "../random.ts";
import { isRealityKey } from "./reality-key.ts";
import { memberObject, refuse } from "./refuse.ts";

/**
 * Checks `streamSettings` of an inbound of Xray, and fills in what it cannot do without: REALITY's private key and short id,
 * and that Hysteria speaks HTTP/3.
 */
export function completeStream(stream: JsonObject, random: Random): JsonObject {
  const { network = "raw", security = "none" } = stream;
  if (typeof network !== "string" || !networks.includes(network)) {
    refuse("streamSettings.network", `is none of ${networks.join(", ")}`);
  }
  for (const name of Object.keys(stream)) {
    if (name.endsWith("Settings")) memberObject(stream, name, `streamSettings.${name}`);
  }
  if (security === "tls") {
    const tlsSettings = memberObject(stream, "tlsSettings");
    checkTls(tlsSettings);
    // Xray would offer what is for TCP, and no client finds in that what it wants.
    if (network === "hysteria") return { ...stream, tlsSettings: { alpn: ["h3"], ...tlsSettings } };
  } else if (security === "reality") return { ...stream, realitySettings: completeReality(stream, random) };
  else if (security !== "none" && security !== "") {
    refuse("streamSettings.security", "is none of none, tls, reality");
  }
  return stream;
}

function checkTls({ certificates }: JsonObject): void {
  if (!Array.isArray(certificates) || certificates.length === 0) {
    refuse("streamSettings.tlsSettings.certificates", "tls needs at least one certificate with its key");
  }
}

function completeReality(stream: JsonObject, random: Random): JsonObject {
  const place = "streamSettings.realitySettings";
  const reality = memberObject(stream, "realitySettings", place);
  const target = reality.target ?? reality.dest;
  const { serverNames, privateKey, shortIds } = reality;
  if (typeof target !== "number" && (typeof target !== "string" || target === "")) {
    refuse(`${place}.target`, "is missing: the server that REALITY pretends to be, such as example.org:443");
  }
  if (!isTexts(serverNames) || serverNames.length === 0) {
    refuse(`${place}.serverNames`, "is no list of the target's names");
  }
  if (isGiven(privateKey) && !isRealityKey(privateKey)) {
    refuse(`${place}.privateKey`, "is not 32 bytes in base64url; leave it out to have it made");
  }
  if (shortIds !== undefined && !(isTexts(shortIds) && shortIds.every((id) => shortId.test(id)))) {
    refuse(`${place}.shortIds`, "is no list of up to 16 hex digits each, an even number of them");
  }
  return {
    ...reality,
    privateKey: isGiven(privateKey) ? privateKey : random(32).toString("base64url"),
    shortIds: isTexts(shortIds) && shortIds.length > 0 ? shortIds : [random(8).toString("hex")],
  };
}

const networks = [
  "raw",
  "tcp",
  "xhttp",
  "splithttp",
  "ws",
  "websocket",
  "grpc",
  "httpupgrade",
  "kcp",
  "mkcp",
  "hysteria",
];
const shortId = /^([0-9a-f]{2}){0,8}$/i;

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((element) => typeof element === "string");
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== "";
}
