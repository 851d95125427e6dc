import { z } from "zod";
import { ConfigRefused } from "../engine-error.ts";
import { type Cidr, readCidr } from "./cidr.ts";
import { canonicalKey, publicKeyOf } from "./device/keys.ts";

/** What an admin's config says. */
export interface WireGuardConfig {
  /** What it was read from. */
  readonly text: string;
  /** The name of the interface, and the tag of the inbound that users ask for. */
  readonly interfaceName: string;
  /** Base64. */
  readonly privateKey: string;
  /** Base64: the one that belongs to the private key. */
  readonly publicKey: string;
  /** Base64, of every peer. Undefined: none. */
  readonly preSharedKey: string | undefined;
  readonly listenPort: number;
  /** The interface's own addresses. What peers may have lies within their ranges. */
  readonly addresses: readonly Cidr[];
  /** The URL by which it is probed whether the server reaches the internet. */
  readonly probeUrl: string;
  readonly probeTimeoutMs: number;
}

/**
 * Reads the documented config, a JSON object; members that nobody knows are passed over. Throws {@link ConfigRefused},
 * which says what is wrong and never a key.
 */
export function readWireGuardConfig(text: string): WireGuardConfig {
  const { data, error } = shape.safeParse(parse(text));
  if (error !== undefined) {
    const [{ path, message } = { path: [], message: "" }] = error.issues;
    throw new ConfigRefused(`invalid wireguard config: ${path.length > 0 ? `${path.join(".")}: ` : ""}${message}`);
  }
  const { interface_name: interfaceName, pre_shared_key: preSharedKey, latency } = data;
  const privateKey = canonicalKey(data.private_key);
  if (privateKey === undefined)
    throw new ConfigRefused("invalid wireguard private key: it must be 32 bytes in base64, as `wg genkey` makes it");
  const sharedKey = preSharedKey === "" ? undefined : canonicalKey(preSharedKey);
  if (preSharedKey !== "" && sharedKey === undefined)
    throw new ConfigRefused("invalid wireguard pre_shared_key: it must be 32 bytes in base64, as `wg genpsk` makes it");
  return {
    text,
    interfaceName: interfaceName === "" ? "wg0" : interfaceName,
    privateKey,
    publicKey: publicKeyOf(privateKey),
    preSharedKey: sharedKey,
    listenPort: data.listen_port <= 0 ? usualPort : data.listen_port,
    addresses: data.address.map((address, index) => {
      const cidr = readCidr(address.trim());
      if (cidr === undefined)
        throw new ConfigRefused(`invalid wireguard config: address.${index}: ${JSON.stringify(address)} is no CIDR`);
      return cidr;
    }),
    probeUrl: latency.test_url === "" ? usualProbeUrl : latency.test_url,
    probeTimeoutMs: Math.ceil((latency.timeout_seconds <= 0 ? 5 : latency.timeout_seconds) * 1_000),
  };
}

const usualPort = 51_820;
const usualProbeUrl = "https://www.gstatic.com/generate_204";
const longestProbeSeconds = 3_600;

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");
const number = z
  .int()
  .nullish()
  .transform((value) => value ?? 0);
const shape = z.object({
  // What Linux takes for the name of an interface, and the panel for that of an inbound.
  interface_name: text.refine((name) => name === "" || /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(name), {
    error: "it must be 1 to 15 letters, digits, `_`, `.` or `-`, and begin with a letter or digit",
  }),
  private_key: text,
  pre_shared_key: text.transform((key) => key.trim()),
  listen_port: number.refine((port) => port <= 65_535, { error: "it must be at most 65535" }),
  address: z
    .array(z.string())
    .nullish()
    .transform((list) => list ?? []),
  latency: z
    .object({
      test_url: text.refine((url) => url === "" || (/^https?:\/\//.test(url) && URL.canParse(url)), {
        error: "it must be a URL that begins with http:// or https://",
      }),
      timeout_seconds: z
        .number()
        .max(longestProbeSeconds)
        .nullish()
        .transform((value) => value ?? 0),
    })
    .nullish()
    .transform((latency) => latency ?? { test_url: "", timeout_seconds: 0 }),
});

function parse(config: string): unknown {
  try {
    return JSON.parse(config);
  } catch (error) {
    // Where it stands may be told; what stands there may be a key.
    const place = / at position \d+( \(line \d+ column \d+\))?/.exec(error instanceof Error ? error.message : "");
    throw new ConfigRefused(`invalid wireguard config: it is no JSON${place?.[0] ?? ""}`);
  }
}
