import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";

// Services that do next to nothing, each in a process of its own, under the life cycle of all services.

const serveModule = join(import.meta.dirname, "../../src/cli/serve.ts");
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** Runs a service whose `start` and `close` are these expressions. */
function runService(start: string, close: string, stdio: "pipe" | "ipc" = "pipe") {
  const script = `
    import { serve } from ${JSON.stringify(serveModule)};
    const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const running = {
      url: "https://0.0.0.0:1", fingerprint: "AB",
      close: async () => { console.error("closing"); await (${close}); console.error("closed"); },
    };
    setInterval(() => undefined, 1000);
    process.exit(await serve("test", async () => { console.error("starting"); await (${start}); return running; }, process));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "pipe", ...(stdio === "ipc" ? (["ipc"] as const) : [])],
  });
  children.push(child);
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      said[name] += text;
    });
  const hears = async (name: "stdout" | "stderr", text: string) => {
    while (!said[name].includes(text)) await once(child[name] ?? child, "data");
  };
  return { child, said, hears, ended: once(child, "close").then(([code, signal]) => code ?? signal) };
}

const readyLine = '{"ready":true,"service":"test","url":"https://127.0.0.1:1","fingerprint":"AB"}\n';

describe("a service", () => {
  test("closes at the first signal, and ends with 0 whatever still waits", async () => {
    const { child, said, hears, ended } = runService("later(0)", "later(50)");
    await hears("stdout", readyLine);
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(said.stderr).toBe("starting\nclosing\nclosed\n");
    expect(said.stdout).toBe(readyLine);
  });

  test("that is ended while it starts is closed, and never says that it is ready", async () => {
    const { child, said, hears, ended } = runService("later(300)", "later(0)");
    await hears("stderr", "starting");
    child.kill("SIGINT");
    expect(await ended).toBe(0);
    expect(said).toEqual({ stdout: "", stderr: "starting\nclosing\nclosed\n" });
  });

  test("that does not come to an end of its start is ended by the first signal all the same", {
    timeout: 20_000,
  }, async () => {
    const { child, said, hears, ended } = runService("later(60_000)", "later(0)");
    await hears("stderr", "starting");
    child.kill("SIGTERM");
    expect(await ended).toBe(1);
    expect(said).toEqual({ stdout: "", stderr: "starting\ngarrison test: ended while it was starting\n" });
  });

  test("that does not close is ended by a second signal", async () => {
    const { child, hears, ended } = runService("later(0)", "later(60_000)");
    await hears("stdout", readyLine);
    child.kill("SIGTERM");
    await hears("stderr", "closing");
    await sleep(600);
    child.kill("SIGTERM");
    expect(await ended).toBe(1);
  });

  test("does not take the same Ctrl-C for two, when its parent hands it on", async () => {
    const { child, said, hears, ended } = runService("later(0)", "later(200)");
    await hears("stdout", readyLine);
    child.kill("SIGINT");
    await hears("stderr", "closing");
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(said.stderr).toContain("closed");
  });

  test("closes when the process is gone that supervises it", async () => {
    const { child, hears } = runService("later(0)", "later(50)", "ipc");
    await hears("stdout", readyLine);
    child.disconnect();
    // Who has disconnected never hears `close`.
    expect(await once(child, "exit")).toEqual([0, null]);
    await hears("stderr", "closed");
  });

  test("that fails to start ends with what went wrong", async () => {
    const { ended, said } = runService('Promise.reject(new Error("no such thing"))', "later(0)");
    expect(await ended).toBe(1);
    expect(said.stdout).toBe("");
    expect(said.stderr).toContain("no such thing");
  });
});
