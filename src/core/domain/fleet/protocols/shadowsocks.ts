import type { JsonObject } from "../json-object.ts";
import type { Random } from "../random.ts";
import { refuse } from "./refuse.ts";

/** Checks `settings` of Shadowsocks, and makes the key of the server where the method needs one and there is none. */
export function completeShadowsocks(settings: JsonObject, _stream: JsonObject, random: Random): JsonObject {
  const { method, network = "tcp", password } = settings;
  const keyBytes = typeof method === "string" ? methods.get(method) : undefined;
  if (keyBytes === undefined) refuse("settings.method", `is none of ${[...methods.keys()].join(", ")}`);
  if (typeof network !== "string" || !networks.has(network)) refuse("settings.network", "is none of tcp, udp, tcp,udp");
  if (keyBytes === 0) return settings;
  if (password === undefined || password === "") return { ...settings, password: random(keyBytes).toString("base64") };
  const key = Buffer.from(String(password), "base64");
  if (key.length !== keyBytes || key.toString("base64") !== password) {
    refuse("settings.password", `is not ${keyBytes} bytes in base64, as ${method} needs; leave it out to have it made`);
  }
  return settings;
}

const networks = new Set(["tcp", "udp", "tcp,udp", "udp,tcp"]);

// With the bytes of the server's key; 0: every user has a password of any length. Of the methods of 2022 that with ChaCha20
// knows only one user.
const methods = new Map([
  ["aes-128-gcm", 0],
  ["aes-256-gcm", 0],
  ["chacha20-poly1305", 0],
  ["chacha20-ietf-poly1305", 0],
  ["xchacha20-poly1305", 0],
  ["xchacha20-ietf-poly1305", 0],
  ["2022-blake3-aes-128-gcm", 16],
  ["2022-blake3-aes-256-gcm", 32],
]);
