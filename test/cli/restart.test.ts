import { spawnSync } from "node:child_process";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { childrenOf, isAlive } from "../support/child-processes.ts";
import { freePorts } from "../support/ports.ts";
import { openPlace, type Place } from "./garrison.ts";

let place: Place;
beforeEach(async () => {
  place = await openPlace();
});
afterEach(() => place.close());

const key = "6ba1b9de-5c6b-4c9c-9d5d-0c2b1f2a7f10";

/** Asks the maintenance API on a port for a restart. Returns the HTTP status. */
function hardReset(port: number | undefined): string {
  const url = `https://127.0.0.1:${port}/node/hard_reset`;
  const format = ["-o", "/dev/null", "-w", "%{http_code}"];
  return spawnSync("curl", ["-sk", "-X", "POST", "-H", `x-api-key: ${key}`, ...format, url], { encoding: "utf8" })
    .stdout;
}

test("garrison up starts a node again that wants to be, and its end is still noticed by the new one", async () => {
  const [port] = await freePorts(1);
  const up = place.call(["up", "node"], { API_KEY: key, API_PORT: `${port}` });
  await up.ready();
  const [first = 0] = await childrenOf(up.pid);
  expect(hardReset(port)).toBe("200");
  let second = 0;
  await vi.waitFor(async () => {
    second = (await childrenOf(up.pid))[0] ?? 0;
    expect([0, first]).not.toContain(second);
  }, 25_000);
  expect(up.stderr()).toContain("garrison up: node ended (exit code 75) and is started again in 0.5 s\n");
  up.signal("SIGKILL");
  await up.ended;
  await vi.waitFor(async () => expect(await isAlive(second)).toBe(false), 25_000);
});

test("a node without a supervisor becomes the new one: it is ready again, and SIGTERM ends it", async () => {
  const [port] = await freePorts(1);
  const node = place.call(["node"], { API_KEY: key, API_PORT: `${port}` });
  await node.ready();
  expect(hardReset(port)).toBe("200");
  await vi.waitFor(() => expect(node.stdout().split("\n")).toHaveLength(3), 25_000);
  expect(node.stderr()).not.toMatch(/warning/i);
  node.signal("SIGTERM");
  expect(await node.ended).toBe(0);
});
