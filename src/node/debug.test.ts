import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { expect, it, onTestFinished } from "vitest";
import { createLog } from "../platform/telemetry/log.ts";
import { createDebug } from "./debug.ts";

async function debugging() {
  const directory = await mkdtemp(join(tmpdir(), "garrison-debug-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const logged: string[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      logged.push(String(chunk));
      done();
    },
  });
  const generated = join(directory, "generated");
  const file = join(generated, "xray.json");
  return { generated, file, logged, debug: createDebug(generated, createLog("test", "warn", sink)) };
}

it("writes the config down for this user only, and the newest one over the one before", async () => {
  const { debug, generated, file } = await debugging();
  debug.config('{"inbounds":[1]}');
  await rm(file);
  await writeFile(file, "older", { mode: 0o644 });
  debug.config('{"inbounds":[2]}');
  expect(JSON.parse(await readFile(file, "utf8"))).toEqual({ inbounds: [2] });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect((await stat(generated)).mode & 0o777).toBe(0o700);
});

it("goes on when it cannot write, and says so", async () => {
  const { debug, generated, logged } = await debugging();
  await writeFile(generated, "a file where the directory should be");
  debug.config("{}");
  expect(logged.join("")).toContain("could not be written down");
});

it("repeats the lines of the engine, whatever the level of the log", async () => {
  const { debug, logged } = await debugging();
  debug.line("Xray 26.3.27 started");
  expect(logged.map((line) => JSON.parse(line))).toMatchObject([{ engine: "xray", msg: "Xray 26.3.27 started" }]);
});
