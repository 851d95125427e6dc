import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NodeUpdateFailed } from "./situations.ts";
import { runUpdateCommand } from "./update-command.ts";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-update-"));
});
afterEach(() => rm(directory, { recursive: true }));

const { signal } = new AbortController();
const logFile = () => join(directory, "update.log");
const env = { PATH: process.env.PATH, API_KEY: "secret", SSL_CERT_FILE: "/c", KEPT: "yes" };
const run = (script: string, options: { signal?: AbortSignal; timeoutMs?: number } = {}) =>
  runUpdateCommand({ command: ["/bin/sh", "-c", script], env, logFile: logFile(), signal, ...options });

test("what the program says is kept, and it gets the environment without the node's secrets", async () => {
  expect(await run("env; echo trouble >&2")).toBe(true);
  const said = await readFile(logFile(), "utf8");
  expect(said).toContain("KEPT=yes\n");
  expect(said).toContain("trouble\n");
  expect(said).not.toMatch(/secret|SSL_CERT_FILE/);
  expect((await stat(logFile())).mode & 0o777).toBe(0o600);
});

test.each([
  ["its exit code and last lines", "seq 100; exit 7", "update failed on server: exit code 7: 96\n97\n98\n99\n100"],
  ["a signal", "kill -9 $$", "update failed on server: SIGKILL"],
])("a failure is told with %s", async (_, script, text) => {
  await expect(run(script)).rejects.toThrow(new NodeUpdateFailed(text));
});

test("a program that cannot be run is a failure", async () => {
  const command = [join(directory, "nothing")] as const;
  await expect(runUpdateCommand({ command, env, logFile: logFile(), signal })).rejects.toThrow("ENOENT");
});

test("one that takes too long is killed, with what it has started", async () => {
  const started = run("sleep 30 & echo $!; wait", { timeoutMs: 300 });
  await expect(started).rejects.toThrow("update failed on server: not finished after 0.3 s");
  const child = Number(await readFile(logFile(), "utf8"));
  await sleep(50);
  const state = await readFile(`/proc/${child}/stat`, "latin1").catch(() => ") Z ");
  expect(state).toMatch(/\) [ZX] /);
});

test("when the node goes down it goes on", async () => {
  const down = new AbortController();
  const ended = run("sleep 0.5; echo done", { signal: down.signal });
  await sleep(100);
  down.abort();
  expect(await ended).toBe(false);
  await sleep(700);
  expect(await readFile(logFile(), "utf8")).toBe("done\n");
});
