import { spawn } from "node:child_process";
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ReadyLine } from "./serve.ts";
import { createSupervisor, type Supervisor } from "./supervisor.ts";

// The services are small real processes: each notes its starts in a file.

const readyLine = (service: string): ReadyLine => ({
  ready: true,
  service,
  url: "http://127.0.0.1:1",
  fingerprint: null,
});
const sayReady = (service: string) => `console.log(${JSON.stringify(JSON.stringify(readyLine(service)))});`;
const stayUntilAsked = 'process.on("SIGTERM", () => process.exit(0)); setInterval(() => undefined, 1000);';

let directory = "";
let supervisor: Supervisor | undefined;
const ready: (readonly ReadyLine[])[] = [];
const said: string[] = [];
const pids: number[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-up-"));
  for (const list of [ready, said, pids]) list.length = 0;
});
afterEach(async () => {
  supervisor?.stop();
  await supervisor?.ended;
  await rm(directory, { recursive: true });
});

function supervise(scripts: Record<string, string>, options: { killMs?: number } = {}): Supervisor {
  supervisor = createSupervisor({
    services: Object.keys(scripts),
    start(service) {
      const child = spawn(process.execPath, ["-e", scripts[service] ?? ""], { stdio: ["ignore", "pipe", "inherit"] });
      pids.push(child.pid ?? 0);
      return child;
    },
    allReady: (lines) => ready.push(lines),
    log: (text) => said.push(text),
    backoffMs: 20,
    ...options,
  });
  return supervisor;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false; // no such process
  }
}

test("ready lines are merged, in the order of the services, once all are ready", async () => {
  supervise({
    slow: `setTimeout(() => {${sayReady("slow")}}, 200); ${stayUntilAsked}`,
    fast: sayReady("fast") + stayUntilAsked,
  });
  await vi.waitFor(() => expect(ready).toEqual([[readyLine("slow"), readyLine("fast")]]));
});

test("a service that ends is started again, after ever longer pauses, and the ready line is not repeated", async () => {
  const file = join(directory, "starts");
  await appendFile(file, "");
  const script = `
    const starts = require("fs").readFileSync("${file}", "utf8").length;
    require("fs").appendFileSync("${file}", "x");
    ${sayReady("a")}
    if (starts < 3) process.exit(starts); else { ${stayUntilAsked} }`;
  supervise({ a: script.replace("process.exit(starts)", "process.exit(starts === 2 ? 7 : starts)") });
  await vi.waitFor(async () => expect(await readFile(file, "utf8")).toBe("xxxx"), 10_000);
  expect(ready).toHaveLength(1);
  expect(said).toEqual([
    "a ended (exit code 0) and is started again in 0.02 s",
    "a ended (exit code 1) and is started again in 0.04 s",
    "a ended (exit code 7) and is started again in 0.08 s",
  ]);
});

test("what a service prints besides its ready line is passed over", async () => {
  supervise({
    a: `console.log("hello"); console.log("null"); console.log('{"ready":'); ${sayReady("a")}${stayUntilAsked}`,
  });
  await vi.waitFor(() => expect(ready).toEqual([[readyLine("a")]]));
});

test("a service whose settings are wrong ends all, with its exit code", async () => {
  const { ended } = supervise({ good: stayUntilAsked, bad: "process.exit(2)" });
  expect(await ended).toBe(2);
  expect(said).toEqual(["bad refused to start, so all services end"]);
  expect(pids.filter(isAlive)).toEqual([]);
});

test("stopping ends all services, and none is started again", async () => {
  const { ended, stop } = supervise({ a: sayReady("a") + stayUntilAsked, b: sayReady("b") + stayUntilAsked });
  await vi.waitFor(() => expect(ready).toHaveLength(1));
  stop();
  expect(await ended).toBe(0);
  expect(pids).toHaveLength(2);
  expect(pids.filter(isAlive)).toEqual([]);
});

test("stopping while a service waits to be started again does not wait for that", async () => {
  const { ended, stop } = supervise({ a: "process.exit(1)" });
  await vi.waitFor(() => expect(said.length).toBeGreaterThan(2));
  stop();
  expect(await ended).toBe(0);
});

test("a service that does not end is killed", async () => {
  const script = `process.on("SIGTERM", () => undefined); ${sayReady("deaf")} setInterval(() => undefined, 1000);`;
  const { ended, stop } = supervise({ deaf: script }, { killMs: 200 });
  await vi.waitFor(() => expect(ready).toHaveLength(1));
  stop();
  expect(await ended).toBe(0);
  expect(pids.filter(isAlive)).toEqual([]);
});

test("a program that cannot be started is tried again, saying why", async () => {
  supervisor = createSupervisor({
    services: ["a"],
    start: () => spawn(join(directory, "absent"), { stdio: ["ignore", "pipe", "inherit"] }),
    allReady: () => undefined,
    log: (text) => said.push(text),
    backoffMs: 20,
  });
  await vi.waitFor(() => expect(said.length).toBeGreaterThan(1));
  expect(said[0]).toMatch(/^a ended \(spawn .*absent ENOENT\) and is started again/);
});

test("a service may wait for another to be ready, and stopping does not wait for that", async () => {
  const coreReady = Promise.withResolvers<void>();
  const start = (service: string) => {
    const child = spawn(process.execPath, ["-e", sayReady(service) + stayUntilAsked], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    pids.push(child.pid ?? 0);
    return child;
  };
  supervisor = createSupervisor({
    services: ["core", "node", "never"],
    async start(service, stopping) {
      if (service === "node") await coreReady.promise;
      if (service === "never") await new Promise((_, reject) => stopping.addEventListener("abort", reject));
      return start(service);
    },
    ready(line) {
      said.push(`${line.service} is ready`);
      if (line.service === "core") coreReady.resolve();
    },
    allReady: (lines) => ready.push(lines),
    log: (text) => said.push(text),
  });
  await vi.waitFor(() => expect(said).toEqual(["core is ready", "node is ready"]));
  supervisor.stop();
  expect(await supervisor.ended).toBe(0);
  expect(ready).toEqual([]);
  expect(pids.filter(isAlive)).toEqual([]);
});

test("a service that cannot be started at all ends all, saying why", async () => {
  supervisor = createSupervisor({
    services: ["good", "bad"],
    start(service) {
      if (service === "bad") return Promise.reject(new Error("there is nothing to start it with"));
      return spawn(process.execPath, ["-e", stayUntilAsked], { stdio: ["ignore", "pipe", "inherit"] });
    },
    allReady: () => undefined,
    log: (text) => said.push(text),
  });
  expect(await supervisor.ended).toBe(1);
  expect(said).toEqual(["bad cannot be started, so all services end: there is nothing to start it with"]);
});

test("a service that is started while all are stopped is ended", async () => {
  const begun = Promise.withResolvers<void>();
  supervisor = createSupervisor({
    services: ["late"],
    async start() {
      begun.resolve();
      await new Promise((resolve) => setTimeout(resolve, 100));
      const child = spawn(process.execPath, ["-e", stayUntilAsked], { stdio: ["ignore", "pipe", "inherit"] });
      pids.push(child.pid ?? 0);
      return child;
    },
    allReady: () => undefined,
    log: (text) => said.push(text),
    killMs: 5_000,
  });
  await begun.promise;
  supervisor.stop();
  expect(await supervisor.ended).toBe(0);
  expect(pids).toHaveLength(1);
  expect(pids.filter(isAlive)).toEqual([]);
});
