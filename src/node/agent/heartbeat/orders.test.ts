import { expect, test } from "vitest";
import { createLog } from "../../../platform/telemetry/log.ts";
import { createOrders } from "./orders.ts";
import { isOlder } from "./versions.ts";

test.each([
  ["1.2.3", "1.2.3", false],
  ["1.2.3", "1.2.4", true],
  ["1.9.0", "1.10.0", true],
  ["2.0.0", "1.10.0", false],
  ["1.2.3-rc.1", "1.2.3", true],
  ["1.2.3", "1.2.3-rc.1", false],
  ["v1.2.3+abc", "1.2.4", true],
  ["development", "1.2.3", false],
  ["1.2.3", "newest", false],
])("%s is older than %s: %s", (version, than, expected) => {
  expect(isOlder(version, than)).toBe(expected);
});

test("an agent that is too old says so once for each version that is wanted, and one that is not does not", () => {
  const told: object[] = [];
  const faults = { report: (fault: object) => void told.push(fault) };
  const orders = createOrders({ version: "1.4.0", faults, log: createLog("node", "silent") });
  for (const minAgentVersion of ["", "1.4.0", "1.5.0", "1.5.0", "2.0.0", ""])
    orders.heard({ drain: false, minAgentVersion });
  expect(told).toMatchObject([
    { code: "AGENT_TOO_OLD", severity: "warning", details: { version: "1.4.0", minAgentVersion: "1.5.0" } },
    { code: "AGENT_TOO_OLD", details: { minAgentVersion: "2.0.0" } },
  ]);
});

test("a node that is drained knows it, until it is not", () => {
  const faults = { report: () => undefined };
  const orders = createOrders({ version: "1.4.0", faults, log: createLog("node", "silent") });
  const seen = [true, true, false].map((drain) => {
    orders.heard({ drain, minAgentVersion: "" });
    return orders.isDraining;
  });
  expect(seen).toEqual([true, true, false]);
});

test("a clock that is wrong is told once, until it is right again", () => {
  const told: object[] = [];
  const faults = { report: (fault: object) => void told.push(fault) };
  const orders = createOrders({ version: "1.4.0", faults, log: createLog("node", "silent") });
  for (const offsetMs of [undefined, 30_000, 31_000, 40_000, 5, -60_000]) orders.clockHeard(offsetMs);
  expect(told).toMatchObject([
    {
      code: "CLOCK_SKEW",
      severity: "warning",
      details: { offsetMs: 31_000 },
      message: expect.stringMatching(/31 s behind/),
    },
    { details: { offsetMs: -60_000 }, message: expect.stringMatching(/60 s ahead of/) },
  ]);
});
