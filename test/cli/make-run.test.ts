import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { childrenOf, isAlive } from "../support/child-processes.ts";
import { type Call, openPlace, type Place } from "./garrison.ts";

let place: Place;
beforeAll(async () => {
  place = await openPlace();
});
afterAll(() => place.close());

const root = join(import.meta.dirname, "../..");
const cache = { HOME: process.env.HOME, GARRISON_CACHE_DIR: process.env.GARRISON_CACHE_DIR };
const makeRun = () => place.call(["--no-print-directory", "-C", root, "run"], cache, "make");

async function welcomed(make: Call): Promise<{ link: string; ask: (path: string) => Record<string, unknown>[] }> {
  const { service, services } = await make.ready();
  expect(service).toBe("up");
  expect(services).toMatchObject([{ service: "core" }, { service: "node" }]);
  await vi.waitFor(() => expect(make.stderr()).toContain("/openapi.json\n"), 60_000);
  const [, link = ""] = /^ {4}(https:\/\/\S+\/sub\/[\w-]{32})$/m.exec(make.stderr()) ?? [];
  const [, coreUrl] = / (https:\/\/\S+)\/openapi\.json\n/.exec(make.stderr()) ?? [];
  const key = (await readFile(join(place.dataDir, "core/admin-key"), "utf8")).trim();
  return { link, ask: (path) => JSON.parse(curl(`${coreUrl}${path}`, "-H", `authorization: Bearer ${key}`)).data };
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

test("make run brings up Core and a node of it, shows the first user's link, and leaves nothing after SIGTERM", async () => {
  const first = makeRun();
  const { link, ask } = await welcomed(first);
  expect(link).not.toBe("");
  expect(first.stderr()).toContain("    █████");
  await vi.waitFor(() => {
    expect(ask("/api/v1/nodes")).toMatchObject([{ state: "online", syncStatus: "synced" }]);
  }, 30_000);
  expect(ask("/api/v1/users")).toMatchObject([{ name: "first-user" }]);

  const [up = 0] = await childrenOf(first.pid);
  const services = await childrenOf(up);
  const engines = (await Promise.all(services.map(childrenOf))).flat();
  expect(services).toHaveLength(2);
  expect(engines.length).toBeGreaterThan(0);
  first.signal("SIGTERM");
  await first.ended;
  expect(await Promise.all([up, ...services, ...engines].map(isAlive))).not.toContain(true);
  expect(first.stdout().trim().split("\n")).toHaveLength(1);

  const second = makeRun();
  const again = await welcomed(second);
  expect(again.link.replace(/^.*\/sub\//, "")).toBe(link.replace(/^.*\/sub\//, ""));
  expect(again.ask("/api/v1/nodes")).toHaveLength(1);
  expect(again.ask("/api/v1/users")).toHaveLength(1);
  second.signal("SIGTERM");
  await second.ended;
});
