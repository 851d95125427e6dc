import { createSystemTools } from "../../src/node/engines/wireguard/host/system-tool.ts";
import { createWireGuardEngine } from "../../src/node/engines/wireguard/wireguard-engine.ts";
import { wireGuardPath } from "../wireguard-path.ts";
import { doAsAsked } from "./network-process.ts";

// An engine that routes for its peers, in whichever network it is started.
const silent = () => undefined;
const { RUN_DIR = "", STATE_FILE } = process.env;
let restarts = 0;
const engine = createWireGuardEngine({
  executable: await wireGuardPath(),
  env: process.env,
  runDir: RUN_DIR,
  stateFile: STATE_FILE,
  tools: createSystemTools(process.env),
  events: { line: silent, stateChanged: silent, exited: silent, restarted: () => restarts++, drained: silent },
  now: Date.now,
  hostRouting: { masqueradeAll: false },
  egressInterface: undefined,
});

doAsAsked({
  async recover() {
    await engine.recover();
  },
  start: (config: object) => engine.start({ config: JSON.stringify(config), users: [], excludeInbounds: [] }),
  /** Has its wireguard-go end as it does in a crash, and waits until it is back. */
  async crash() {
    const before = restarts;
    process.kill(Number((await engine.readTraffic()).incarnation.split("/")[1]), "SIGKILL");
    while (restarts === before) await new Promise((resolve) => setTimeout(resolve, 20));
  },
  latencies: () => engine.latencies(),
  stop: () => engine.stop(),
  close: () => engine.close(),
});
