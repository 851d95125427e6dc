import { fork } from "node:child_process";
import { once } from "node:events";
import { onTestFinished } from "vitest";
import type { Migration } from "../../src/platform/storage/migrations.ts";
import type { TestLocation } from "./behaviour/under-test.ts";

/** A process that opens the database when it is told to, and says what came of it. */
export function startInProcess(location: TestLocation, wanted: readonly Migration[]) {
  const child = fork(new URL("./open-database.ts", import.meta.url), {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const ready = once(child, "message");
  return {
    ready,
    kill: () => child.kill("SIGKILL"),
    async open(): Promise<unknown> {
      await ready;
      const answered = once(child, "message");
      child.send({ location, migrations: wanted });
      const [outcome] = await answered;
      return outcome;
    },
  };
}
