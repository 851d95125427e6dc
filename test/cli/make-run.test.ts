import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { exchange, startByteTarget } from "../support/byte-target.ts";
import { childrenOf, isAlive } from "../support/child-processes.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { type Call, openPlace, type Place } from "./garrison.ts";

let place: Place;
const running = new Set<Call>();
beforeAll(async () => {
  place = await openPlace();
});
afterAll(async () => {
  // Killed, make would leave alone what it has started.
  await Promise.all([...running].map(stop));
  await place.close();
});

const root = join(import.meta.dirname, "../..");
const cache = { HOME: process.env.HOME, GARRISON_CACHE_DIR: process.env.GARRISON_CACHE_DIR };
const often = { CORE_ENGINE_POLL_MS: "200", CORE_USAGE_MS: "500" };

function makeRun(): Call {
  const make = place.call(["--no-print-directory", "-C", root, "run"], { ...cache, ...often }, "make");
  running.add(make);
  return make;
}

async function stop(make: Call): Promise<void> {
  make.signal("SIGTERM");
  await make.ended;
  running.delete(make);
}

/** Asks the fleet API by curl. */
type Ask = (path: string, ...options: string[]) => Record<string, unknown>[];

async function welcomed(make: Call): Promise<{ link: string; ask: Ask }> {
  const { service, services } = await make.ready();
  expect(service).toBe("up");
  expect(services).toMatchObject([{ service: "core" }, { service: "node" }]);
  await vi.waitFor(() => expect(make.stderr()).toContain("/openapi.json\n"), 60_000);
  const [, link = ""] = /^ {4}(https:\/\/\S+\/sub\/[\w-]{32})$/m.exec(make.stderr()) ?? [];
  const [, coreUrl] = / (https:\/\/\S+)\/openapi\.json\n/.exec(make.stderr()) ?? [];
  const key = (await readFile(join(place.dataDir, "core/admin-key"), "utf8")).trim();
  const ask: Ask = (path, ...options) =>
    JSON.parse(curl(`${coreUrl}${path}`, "-H", `authorization: Bearer ${key}`, ...options)).data;
  return { link, ask };
}

function curl(url: string, ...options: string[]): string {
  const { status, stdout, stderr } = spawnSync(
    "curl",
    ["-sSf", "--cacert", join(place.dataDir, "core/ca.pem"), ...options, url],
    { encoding: "utf8" },
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

test("make run brings up Core and a node of it, and a client that takes the link it shows is counted there", {
  timeout: 120_000,
}, async () => {
  const first = makeRun();
  const { link, ask } = await welcomed(first);
  expect(link).not.toBe("");
  expect(first.stderr()).toContain("    █████");
  await vi.waitFor(() => {
    expect(ask("/api/v1/nodes")).toMatchObject([{ state: "online", syncStatus: "synced" }]);
  }, 30_000);
  expect(ask("/api/v1/users")).toMatchObject([{ name: "first-user" }]);

  // The routing is left out: it sends straight what goes to this machine.
  const [{ outbounds }] = JSON.parse(curl(`${link}?format=xray`));
  const client = await startXrayClient([outbounds[0]]);
  const target = await startByteTarget();
  try {
    await vi.waitFor(() => exchange(client.proxyPorts[0] ?? 0, target, 100_000, 300_000), 10_000);
    await vi.waitFor(() => {
      const [{ bytesUp, bytesDown } = {}] = ask("/api/v1/subscriptions");
      expect(bytesUp).toBeGreaterThanOrEqual(100_000);
      expect(bytesDown).toBeGreaterThanOrEqual(300_000);
    }, 10_000);
  } finally {
    await Promise.all([client.close(), target.close()]);
  }

  const [up = 0] = await childrenOf(first.pid);
  const services = await childrenOf(up);
  const engines = (await Promise.all(services.map(childrenOf))).flat();
  expect(services).toHaveLength(2);
  expect(engines.length).toBeGreaterThan(0);
  await stop(first);
  expect(await Promise.all([up, ...services, ...engines].map(isAlive))).not.toContain(true);
  expect(first.stdout().trim().split("\n")).toHaveLength(1);

  const second = makeRun();
  const again = await welcomed(second);
  expect(again.link.replace(/^.*\/sub\//, "")).toBe(link.replace(/^.*\/sub\//, ""));
  expect(again.ask("/api/v1/nodes")).toHaveLength(1);
  expect(again.ask("/api/v1/users")).toHaveLength(1);
  expect(curl(`${again.link}?format=plain`)).toMatch(/^ss:\/\//);
  again.ask("/api/v1/subscriptions/1:rotateToken", "-d", "{}", "-H", "content-type: application/json");
  await stop(second);

  const third = makeRun();
  const { link: none } = await welcomed(third);
  expect(none).toBe("");
  expect(third.stderr()).toContain("The first user's link was replaced, or has ended");
  await stop(third);
});
