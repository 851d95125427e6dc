import { setTimeout as sleep } from "node:timers/promises";
import { Bridge } from "../../test/callers/bridge-client.ts";
import { startRealNode } from "../../test/callers/real-node.ts";
import { findPythonForBridge, prepareBridge } from "../../test/callers/toolchains.ts";
import { emailOf, idOf } from "./made-users.ts";
import { configOf } from "./node-under-test.ts";
import { report } from "./report.ts";
import { type Ticker, untilThrough } from "./vless.ts";

const count = 500;
// The client's worker looks for nothing for a second when it has found its queue empty once.
const clientPauseMs = 1_500;

/** How long it takes until users who are queued in the published client of panels can connect. */
export async function measureQueue(ticker: Ticker): Promise<void> {
  const base = await findPythonForBridge();
  if (base === undefined) {
    console.log("skipped: the published client of panels needs Python 3.12 or newer");
    return;
  }
  const python = await prepareBridge(base, "0.9.4");
  const node = await startRealNode();
  for (const mode of ["grpc", "rest"]) {
    const bridge = new Bridge(python, node, mode);
    const { config, ports, tags } = await configOf(1);
    const member = (number: number) => ({ email: emailOf(number), id: idOf(number), inbounds: tags });
    const way = { inboundPort: ports[0] ?? 0, targetPort: ticker.port };
    await bridge.call("start", { config, users: [member(0)] });
    for (const [round, from] of [1_000, 2_000, 3_000].entries()) {
      await sleep(clientPauseMs);
      const users = Array.from({ length: count }, (_, index) => member(from + index));
      const begun = performance.now();
      await bridge.call("update_users", { users });
      const queuedMs = performance.now() - begun;
      await untilThrough(way, idOf(from + count - 1));
      const value = performance.now() - begun;
      const about = `${count} new users through the client's queue, ${mode}, ${round + 1}: the last one connects`;
      const reference = { about: "it until they were queued", value: queuedMs };
      report({ about, value, unit: "ms", atMost: 200, reference });
    }
    await bridge.close();
  }
  await node.close();
}
