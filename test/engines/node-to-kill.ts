import { createXrayEngine } from "../../src/node/engines/xray/xray-engine.ts";
import { xrayPath } from "../xray-path.ts";

// Runs an engine as a node does, says the pid of its Xray, and waits to be killed.
const { RUN_DIR = "", CONFIG = "" } = process.env;
const silent = () => undefined;
const engine = createXrayEngine({
  executable: await xrayPath(),
  assets: RUN_DIR,
  env: process.env,
  runDir: RUN_DIR,
  events: { line: silent, stateChanged: silent, exited: silent, restarted: silent, drained: silent },
});
await engine.start({ config: CONFIG, users: [], excludeInbounds: [] });
console.log((await engine.readTraffic()).incarnation.split("/")[1]);
setInterval(silent, 1_000);
