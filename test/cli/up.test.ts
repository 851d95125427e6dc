import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { childrenOf, isAlive } from "../support/child-processes.ts";
import { openPlace, type Place } from "./garrison.ts";

let place: Place;
beforeEach(async () => {
  place = await openPlace();
});
afterEach(() => place.close());

test("garrison up is ready when its services are, and SIGTERM ends them all", async () => {
  const up = place.call(["up"]);
  expect(await up.ready()).toEqual({
    ready: true,
    service: "up",
    services: ["core", "node"].map((service) => ({
      ready: true,
      service,
      url: expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+$/),
      fingerprint: expect.stringMatching(/^[0-9A-F:]{95}$/),
    })),
  });
  const services = await childrenOf(up.pid);
  expect(services).toHaveLength(2);
  up.signal("SIGTERM");
  expect(await up.ended).toBe(0);
  expect(await Promise.all(services.map(isAlive))).toEqual([false, false]);
  expect(up.stdout().split("\n")).toHaveLength(2);
});

test("a service that is killed is started again", async () => {
  const up = place.call(["up", "node"]);
  await up.ready();
  const [first = 0] = await childrenOf(up.pid);
  process.kill(first, "SIGKILL");
  await vi.waitFor(async () => {
    const [second] = await childrenOf(up.pid);
    expect(second).toBeDefined();
    expect(second).not.toBe(first);
  }, 10_000);
  expect(up.stderr()).toContain("garrison up: node ended (SIGKILL) and is started again in 0.5 s\n");
  up.signal("SIGINT");
  expect(await up.ended).toBe(0);
});

test("services end when garrison up is killed", async () => {
  const up = place.call(["up"]);
  await up.ready();
  const services = await childrenOf(up.pid);
  up.signal("SIGKILL");
  await up.ended;
  await vi.waitFor(async () => expect(await Promise.all(services.map(isAlive))).toEqual([false, false]), 10_000);
});

test("wrong settings of a service end garrison up with their message and exit code 2", async () => {
  const { code, stdout, stderr } = await place.finish(["up"], { SERVICE_PORT: "x" });
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain('SERVICE_PORT is "x": it must be a whole number');
  expect(stderr).toContain("garrison up: node refused to start, so all services end\n");
});
