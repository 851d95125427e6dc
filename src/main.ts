import { run } from "./cli/run.ts";
import { readEnv } from "./platform/config/env-file.ts";

// The exit is explicit: when a command has returned, nothing that still waits may keep the process.
process.exit(
  await run(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    readEnv: () => readEnv(process.cwd(), process.env),
  }),
);
