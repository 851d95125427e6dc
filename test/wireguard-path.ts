import { findEngine } from "../src/node/engines/install/locate.ts";
import { pinnedEngines } from "../src/node/engines/install/pinned.ts";

/** The userspace WireGuard that suites start. Fails, saying what to do, when the machine has none. */
export async function wireGuardPath(): Promise<string> {
  const found = await findEngine(pinnedEngines.wireguard);
  if (found === undefined)
    throw new Error("these tests need a wireguard-go: run `bin/garrison engines install wireguard` first");
  return found;
}
