import { findEngine } from "../src/node/engines/install/locate.ts";
import { pinnedEngines } from "../src/node/engines/install/pinned.ts";

/** The sing-box that suites use as a client which shares no code with Xray. Fails, saying what to do, without one. */
export async function singBoxPath(): Promise<string> {
  const found = await findEngine(pinnedEngines["sing-box"]);
  if (found === undefined)
    throw new Error("these tests need a real sing-box: run `bin/garrison engines install sing-box` first");
  return found;
}
