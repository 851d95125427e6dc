import { Invalid } from "../fleet/situations.ts";
import type { Endpoint } from "./endpoint.ts";
import { isWireGuard, type WireGuardEndpoint } from "./formats/wireguard/wireguard-config.ts";

/** A subscription has no such config of WireGuard. */
export class WireGuardConfigUnknown extends Error {
  override readonly name = "WireGuardConfigUnknown";
  readonly code = "WIREGUARD_CONFIG_UNKNOWN";

  constructor() {
    super("this subscription has no such WireGuard config: its page shows what it has");
  }
}

/**
 * The endpoint that a config is wanted of, since it tells only one: the one of WireGuard among those that were asked for.
 * Throws {@link WireGuardConfigUnknown} when there is none, and {@link Invalid}, with those that are there, when there are
 * more.
 */
export function chooseWireGuard(endpoints: readonly Endpoint[]): WireGuardEndpoint {
  const [first, ...others] = endpoints.filter(isWireGuard);
  if (first === undefined) throw new WireGuardConfigUnknown();
  if (others.length === 0) return first;
  const all = [first, ...others].slice(0, mostTold).map(({ nodeProtocolId, name }) => `${nodeProtocolId} (${name})`);
  const more = others.length + 1 - all.length;
  throw new Invalid(
    "FIELD_INVALID",
    `nodeProtocolId: there is a WireGuard config for each of ${all.join(", ")}${more > 0 ? ` and ${more} more` : ""}: ` +
      `say which, as in ?format=wireguard&nodeProtocolId=${first.nodeProtocolId}`,
  );
}

const mostTold = 20;
