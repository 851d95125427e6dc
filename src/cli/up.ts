import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { processOwner } from "../platform/config/common.ts";
import type { Env } from "../platform/config/variables.ts";
import { type Command, WrongUsage } from "./command.ts";
import type { FirstFleet } from "./first-fleet.ts";
import { createSupervisor } from "./supervisor.ts";

const services = ["core", "node"];
const program = join(import.meta.dirname, "../main.ts");

/** `garrison up` */
export const upCommand: Command = {
  usage: "garrison up [--first-user] [--data-dir <path>] [service …]",
  about: [
    "Runs services in the foreground, each in a process of its own, and starts again whichever ends.",
    `Without names it runs all: ${services.join(", ")}. Each reads its own environment variables.`,
    "When all are ready, stdout gets one line of JSON with their ready lines.",
  ].join("\n"),
  options: {
    "first-user": { type: "boolean", about: "enrol the node with Core, make a first user, and show how to connect" },
    "data-dir": { type: "string", value: "<path>", about: "the data directory, unless GARRISON_DATA_DIR names one" },
  },
  async run({ words, flags, texts }, { stdout, stderr, readEnv }) {
    const unknown = words.find((word) => !services.includes(word));
    if (unknown !== undefined)
      throw new WrongUsage(`there is no service '${unknown}'; there are ${services.join(", ")}`);
    if (flags["first-user"] && words.length > 0)
      throw new WrongUsage("--first-user is for all services: name none of them");
    const variables = await readEnv();
    const env = { ...variables, GARRISON_DATA_DIR: variables.GARRISON_DATA_DIR || texts["data-dir"] };
    const firstFleet = flags["first-user"] ? await openFirstFleet(env) : undefined;
    const log = (text: string) => stderr.write(`garrison up: ${text}\n`);
    const supervisor = createSupervisor({
      services: words.length > 0 ? [...new Set(words)] : services,
      async start(service, stopping) {
        const code = service === "node" ? await firstFleet?.enrolmentCode(stopping) : undefined;
        return startService(service, code === undefined ? env : { ...env, CORE_ENROLMENT_CODE: code });
      },
      ready: (line) => firstFleet?.ready(line),
      allReady(lines) {
        stdout.write(`${JSON.stringify({ ready: true, service: "up", services: lines })}\n`);
        firstFleet?.welcome(stderr).catch((error: Error) => log(`there is no first user: ${error.message}`));
      },
      log,
    });
    process.on("SIGTERM", supervisor.stop).on("SIGINT", supervisor.stop);
    return supervisor.ended;
  },
};

function startService(service: string, env: NodeJS.ProcessEnv): ChildProcess {
  return spawn(process.execPath, [...process.execArgv, program, service], {
    // The channel tells the service when this process is gone, however it ended.
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    // Out of the terminal's reach: Ctrl-C is for this process, which hands it on once.
    detached: true,
    env,
  });
}

/** Loaded only where it is wanted, with all that it needs to call Core. */
async function openFirstFleet(env: Env): Promise<FirstFleet> {
  const { createFirstFleet } = await import("./first-fleet.ts");
  const { readCoreSettings } = await import("../core/settings.ts");
  return createFirstFleet(await readCoreSettings(env, processOwner()));
}
