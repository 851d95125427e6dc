import { createXrayEngine } from "../../src/node/engines/xray/xray-engine.ts";
import { proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { xrayPath } from "../xray-path.ts";

// Runs an engine as a node does, says the pid of its Xray, and waits to be killed; with users, it sets them meanwhile.
const { RUN_DIR = "", CONFIG = "", STATE_FILE, USERS = "0" } = process.env;
const silent = () => undefined;
const engine = createXrayEngine({
  executable: await xrayPath(),
  assets: RUN_DIR,
  env: process.env,
  runDir: RUN_DIR,
  stateFile: STATE_FILE,
  events: { line: silent, stateChanged: silent, exited: silent, restarted: silent, drained: silent },
});
await engine.start({ config: CONFIG, users: [], excludeInbounds: [] });
console.log((await engine.readTraffic()).incarnation.split("/")[1]);
setInterval(silent, 1_000);
const everywhere = proxyProtocols.map(({ name }) => name);
const users = Array.from({ length: Number(USERS) }, (_, index) => userOf(`${index}`, ...everywhere));
for (let turn = 0; users.length > 0; turn++) {
  await engine.replaceUsers(turn % 2 === 0 ? users : users.slice(users.length / 2));
}
