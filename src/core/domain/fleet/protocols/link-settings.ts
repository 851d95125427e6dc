import { readHost } from "../../subscription-links/reading/host.ts";
import type { JsonObject } from "../json-object.ts";
import { Invalid } from "../situations.ts";

/**
 * Checks what links say otherwise, as `CreateNodeProtocolRequest` describes it: whoever mistypes a name would wonder why
 * links stay as they are. A member that is `null` counts as absent. Throws `Invalid` with SETTINGS_INVALID, naming the
 * place.
 */
export function checkLinkSettings(given: JsonObject): JsonObject {
  for (const [name, value] of Object.entries(given)) {
    const kind = Object.hasOwn(members, name) ? members[name] : undefined;
    if (kind === undefined) return refuse(name, `is none of ${Object.keys(members).join(", ")}`);
    if (value !== null && value !== undefined && !kind.holds(value)) refuse(name, kind.otherwise);
  }
  return given;
}

interface Kind {
  readonly holds: (value: unknown) => boolean;
  readonly otherwise: string;
}

const isText = (value: unknown) => typeof value === "string";
const text: Kind = { holds: isText, otherwise: "is no text" };

const members: Readonly<Record<string, Kind>> = {
  host: {
    holds: (value) => typeof value === "string" && (value === "" || readHost(value) !== ""),
    otherwise: "is no host name and no address",
  },
  port: {
    holds: (value) => /^\d{1,5}$/.test(String(value)) && Number(value) >= 1 && Number(value) <= 65_535,
    otherwise: "is no port, 1 to 65535",
  },
  sni: text,
  hostHeader: text,
  path: text,
  fingerprint: text,
  alpn: {
    holds: (value) => isText(value) || (Array.isArray(value) && value.every(isText)),
    otherwise: "is no list of texts",
  },
  allowInsecure: { holds: (value) => typeof value === "boolean", otherwise: "is neither true nor false" },
};

function refuse(place: string, reason: string): never {
  throw new Invalid("SETTINGS_INVALID", `linkSettings: ${place}: ${reason}`);
}
