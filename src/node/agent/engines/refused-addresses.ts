import type { User } from "../../../../gen/service/node_pb.ts";

/** Addresses from which a user of the engine is not let in, by the user's name. */
export type RefusedAddresses = (name: string) => readonly string[] | undefined;

/** Where Xray sends what is refused. */
export const refusingTag = "garrison-refused";

/**
 * A config of Xray whose first rules refuse these users from these addresses; the config itself when there are none. What
 * is connected stays: rules are asked for each connection that a user opens.
 */
export function withRefusedAddresses(
  config: string,
  users: readonly Pick<User, "email">[],
  refused: RefusedAddresses,
): string {
  const names = new Map<string, string[]>();
  for (const { email } of users) {
    const addresses = refused(email)?.join(" ");
    if (addresses === undefined || addresses === "") continue;
    names.set(addresses, [...(names.get(addresses) ?? []), email]);
  }
  if (names.size === 0) return config;
  const { outbounds = [], routing = {}, ...rest }: Config = JSON.parse(config);
  const rules = [...names].map(([addresses, user]) => {
    return { type: "field", user: user.sort(), source: addresses.split(" "), outboundTag: refusingTag };
  });
  return JSON.stringify({
    ...rest,
    outbounds: [...outbounds, { tag: refusingTag, protocol: "blackhole" }],
    routing: { ...routing, rules: [...rules, ...(routing.rules ?? [])] },
  });
}

interface Config {
  readonly outbounds?: readonly unknown[];
  readonly routing?: { readonly rules?: readonly unknown[] };
}
