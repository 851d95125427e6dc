import { findEngine } from "../src/node/engines/install/locate.ts";
import { pinnedEngines } from "../src/node/engines/install/pinned.ts";

/** The Mihomo that suites use as a client of its own kind. Fails, saying what to do, without one. */
export async function mihomoPath(): Promise<string> {
  const found = await findEngine(pinnedEngines.mihomo);
  if (found === undefined)
    throw new Error("these tests need a real Mihomo: run `bin/garrison engines install mihomo` first");
  return found;
}
