import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { type MaintainedNode, startMaintained } from "../compat/maintenance.ts";
import { startXrayMirror, xrayRelease } from "../compat/xray-mirror.ts";
import { findPythonForBridge, prepareBridge } from "./toolchains.ts";

const preparingMs = 300_000;
const python = await findPythonForBridge();

type Call = readonly [method: string, ...args: unknown[]];

/** What the published client's methods answered, in order. */
async function callMaintenance(python: string, node: MaintainedNode, ...calls: readonly Call[]): Promise<unknown> {
  const { maintenance, url, ca: certificate, key } = node;
  const at = (address: string) => Number(new URL(address).port);
  const driver = new URL("bridge/maintenance.py", import.meta.url).pathname;
  const child = spawn(python, [driver], { env: { PATH: process.env.PATH }, stdio: "pipe" });
  child.stdin.end(
    JSON.stringify({ host: "127.0.0.1", port: at(url), api_port: at(maintenance.url), key, certificate, calls }),
  );
  const [said, trouble] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  if (said === "") throw new Error(`the client ended:\n${trouble}`);
  return JSON.parse(said);
}

describe.skipIf(python === undefined).each([
  ["0.9.4", [["hard_reset"]], [{ detail: "node restarted successfully" }]],
  ["0.8.1", [], []], // knows no restart
] as const)("pasarguard-node-bridge %s (needs Python 3.12 or newer)", (version, more, answersToMore) => {
  test("76 77 100 finds the maintenance API, updates node and core, is told why not, and restarts the node", {
    timeout: preparingMs,
  }, async () => {
    const bridge = await prepareBridge(python ?? "", version);
    const mirror = await startXrayMirror({ "25.8.31": xrayRelease("25.8.31") });
    const node = await startMaintained({
      GARRISON_XRAY_MIRROR: mirror.url,
      GARRISON_GEO_MIRROR: mirror.url,
      GARRISON_UPDATE_COMMAND: "/bin/true",
    });
    const updated = { detail: "node core updated successfully", core_version: "25.8.31", effect: "next_start" };
    const answers = await callMaintenance(
      bridge,
      node,
      ["check_connectivity"],
      ["update_node"],
      ["update_core", { core_version: "latest" }],
      ["update_core", { core_version: "25.8.31" }],
      ["update_core", { core_version: "v25.8.31" }],
      ["update_core", { core_version: "newest" }],
      ["update_core", { core_version: "v25.8.32" }],
      ["update_geofiles", { region: "mars" }],
      ["update_geofiles", { region: "iran" }],
      ...more,
    );
    expect(answers).toEqual([
      true,
      { detail: "node updated successfully" },
      updated,
      updated,
      updated,
      { code: 400, detail: "core_version must match pattern vX.X.X" },
      { code: 404, detail: expect.stringContaining("there is no xray 25.8.32") },
      { code: 400, detail: expect.stringContaining("Unsupported region mars") },
      { code: 500, detail: expect.stringContaining("HTTP status 404") },
      ...answersToMore,
    ]);
  });
});
