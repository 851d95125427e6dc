import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { childrenOf, isAlive } from "../support/child-processes.ts";
import { openPlace, type Place } from "./garrison.ts";

let place: Place;
beforeAll(async () => {
  place = await openPlace();
});
afterAll(() => place.close());

const root = join(import.meta.dirname, "../..");

test("make run starts a node that tells how it is called, honours the variables, and leaves nothing after SIGTERM", async () => {
  const cache = { HOME: process.env.HOME, GARRISON_CACHE_DIR: process.env.GARRISON_CACHE_DIR };
  const make = place.call(["--no-print-directory", "-C", root, "run"], cache, "make");
  const { url, service } = await make.ready();
  expect(service).toBe("node");
  await vi.waitFor(() => expect(make.stderr()).toContain("# Call the node"));
  expect(make.stderr()).toMatch(/^echo 'vless:\/\/[0-9a-f-]{36}@127\.0\.0\.1:/m);
  expect(make.stderr()).toContain(`KEY=$(cat '${place.dataDir}/node/api-key')`);
  const key = (await readFile(join(place.dataDir, "node/api-key"), "utf8")).trim();
  const ask = [
    "-sf",
    "--cacert",
    join(place.dataDir, "certificate/cert.pem"),
    "-H",
    `x-api-key: ${key}`,
    `${url}/info`,
  ];
  expect(spawnSync("curl", ask).status).toBe(0);

  const children = await childrenOf(make.pid);
  expect(children).toHaveLength(1);
  make.signal("SIGTERM");
  await make.ended;
  expect(await Promise.all(children.map(isAlive))).toEqual([false]);
  expect(make.stdout().trim().split("\n")).toHaveLength(1);
});
