import { findXray } from "../src/node/engines/install/locate.ts";

/** The Xray that suites with a real engine start. Fails, saying what to do, when the machine has none. */
export async function xrayPath(): Promise<string> {
  const found = await findXray();
  if (found === undefined)
    throw new Error("these tests need a real Xray: run `bin/garrison engines install xray` first");
  return found;
}
