import { type JsonObject, objectIn } from "../../fleet/json-object.ts";
import type { Masks } from "../endpoint.ts";
import { textIn } from "./lenient.ts";

/** What Xray wraps connections in besides: `finalmask` of an inbound's `streamSettings`. */
export function readMasks(stream: JsonObject): Masks | undefined {
  const { tcp, udp } = masksIn(stream);
  if (tcp.length + udp.length === 0) return undefined;
  // Not `quicParams`: how fast each side sends is its own.
  return { ...(tcp.length > 0 && { tcp }), ...(udp.length > 0 && { udp }) };
}

/** The password of Salamander, when it is all that datagrams are wrapped in; else empty. */
export function readSalamander(stream: JsonObject): string {
  const { udp } = masksIn(stream);
  const [only] = udp;
  return udp.length === 1 && only?.type === "salamander" ? textIn(objectIn(only.settings) ?? {}, "password") : "";
}

function masksIn(stream: JsonObject) {
  const finalmask = objectIn(stream.finalmask) ?? {};
  return { tcp: objectsIn(finalmask.tcp), udp: objectsIn(finalmask.udp) };
}

function objectsIn(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.map(objectIn).filter((mask) => mask !== undefined) : [];
}
