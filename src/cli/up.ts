import { spawn } from "node:child_process";
import { join } from "node:path";
import { type Command, WrongUsage } from "./command.ts";
import { createSupervisor } from "./supervisor.ts";

const services = ["core", "node"];
const program = join(import.meta.dirname, "../main.ts");

/** `garrison up` */
export const upCommand: Command = {
  usage: "garrison up [service …]",
  about: [
    "Runs services in the foreground, each in a process of its own, and starts again whichever ends.",
    `Without names it runs all: ${services.join(", ")}. Each reads its own environment variables.`,
    "When all are ready, stdout gets one line of JSON with their ready lines.",
  ].join("\n"),
  options: {},
  async run({ words }, { stdout, stderr }) {
    const unknown = words.find((word) => !services.includes(word));
    if (unknown !== undefined)
      throw new WrongUsage(`there is no service '${unknown}'; there are ${services.join(", ")}`);
    const supervisor = createSupervisor({
      services: words.length > 0 ? [...new Set(words)] : services,
      start: (service) =>
        spawn(process.execPath, [...process.execArgv, program, service], {
          // The channel tells the service when this process is gone, however it ended.
          stdio: ["ignore", "pipe", "inherit", "ipc"],
          // Out of the terminal's reach: Ctrl-C is for this process, which hands it on once.
          detached: true,
        }),
      allReady: (lines) => stdout.write(`${JSON.stringify({ ready: true, service: "up", services: lines })}\n`),
      log: (text) => stderr.write(`garrison up: ${text}\n`),
    });
    process.on("SIGTERM", supervisor.stop).on("SIGINT", supervisor.stop);
    return supervisor.ended;
  },
};
