import { createMtProtoEngine } from "../../src/node/engines/mtproto/mtproto-engine.ts";
import { type TelemtKind, telemtConfig, telemtPid, telemtProgram, telemtUser } from "./telemt-under-test.ts";

// Runs an engine as a node does, says the pid of its telemt, and waits to be killed.
const { RUN_DIR = "", DATA_CENTRE = "", PORT = "", KIND } = process.env;
const silent = () => undefined;
const engine = createMtProtoEngine({
  program: { executable: await telemtProgram(KIND as TelemtKind, RUN_DIR), env: process.env },
  runDir: RUN_DIR,
  now: Date.now,
  events: { line: silent, stateChanged: silent, exited: silent, restarted: silent, drained: silent },
});
await engine.apply(telemtConfig(DATA_CENTRE, { port: Number(PORT), users: [telemtUser(1)] }));
console.log(await telemtPid(RUN_DIR, "7"));
setInterval(silent, 1_000);
