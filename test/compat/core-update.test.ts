import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { Effect, MaintenanceService } from "../../gen/garrison/node/v1/maintenance_pb.ts";
import { sha256 } from "../install/mirror.ts";
import { exchange, startByteTarget } from "../support/byte-target.ts";
import { engineOf } from "../support/child-processes.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { type MaintainedNode, startMaintained, told } from "./maintenance.ts";
import { startXrayMirror, xrayRelease } from "./xray-mirror.ts";

/** Starts a backend with a user, and returns what the user sends bytes with. */
async function withUser(node: MaintainedNode) {
  const ports = await freePorts(4);
  const user = userOf("1", "vless");
  await node.grpc.start({ config: nodeConfig(ports), users: [user] });
  const vless = proxyProtocols.find(({ name }) => name === "vless");
  if (vless === undefined) throw new Error("no vless");
  const client = await startXrayClient([vless.outbound(ports[0] ?? 0, user)]);
  const target = await startByteTarget();
  onTestFinished(async () => {
    await client.close();
    await target.close();
  });
  return { sends: () => exchange(client.proxyPorts[0] ?? 0, target, 1_000, 2_000) };
}

const engineVersion = async (node: MaintainedNode) =>
  /XRAY_MARK=([\d.]+)/.exec(await readFile(`/proc/${await engineOf(node.pid)}/environ`, "latin1"))?.[1];
const update = async (node: MaintainedNode, request: object) => told(await node.post("/node/core_update", request));
const updated = (version: string, effect: string) => ({
  status: 200,
  body: { detail: "node core updated successfully", core_version: version, effect },
});

it("77 takes latest, and versions with and without v; users stay, every byte is counted, and a restart keeps it", async () => {
  const mirror = await startXrayMirror({ "25.8.30": xrayRelease("25.8.30"), "25.8.31": xrayRelease("25.8.31") });
  const node = await startMaintained({ GARRISON_XRAY_MIRROR: mirror.url });
  const user = await withUser(node);
  await user.sends();
  expect(await update(node, { core_version: "latest" })).toEqual(updated("25.8.31", "now"));
  expect(await engineVersion(node)).toBe("25.8.31");
  await user.sends();
  const { stats } = await node.grpc.stats({ type: 5, name: "1" });
  const bytes = Object.fromEntries(stats.map(({ type, value }) => [type, Number(value)]));
  expect(bytes.uplink).toBeGreaterThanOrEqual(2_000);
  expect(bytes.downlink).toBeGreaterThanOrEqual(4_000);
  expect(await update(node, { core_version: "v25.8.30" })).toEqual(updated("25.8.30", "now"));
  const requests = mirror.requests.length;
  expect(await update(node, { core_version: "25.8.31" })).toEqual(updated("25.8.31", "now"));
  expect(mirror.requests, "what is installed is not downloaded again").toHaveLength(requests);
  await node.post("/node/hard_reset");
  await vi.waitFor(async () => expect((await node.rest.info()).started).toBe(false), {
    timeout: 20_000,
    interval: 100,
  });
  await withUser(node);
  expect(await engineVersion(node)).toBe("25.8.31");
});

it("is used from the next start on when the caller wants it so, or nothing runs", async () => {
  const mirror = await startXrayMirror({ "25.8.31": xrayRelease("25.8.31") });
  const node = await startMaintained({ GARRISON_XRAY_MIRROR: mirror.url });
  const user = await withUser(node);
  const before = await engineOf(node.pid);
  expect(await update(node, { core_version: "latest", defer: true })).toEqual(updated("25.8.31", "next_start"));
  expect(await engineOf(node.pid)).toBe(before);
  await user.sends();
  await node.grpc.stop();
  expect(await update(node, { core_version: "latest" })).toEqual(updated("25.8.31", "next_start"));
  await withUser(node);
  expect(await engineVersion(node)).toBe("25.8.31");
});

describe("costs nobody a connection", () => {
  /** What a mirror's release comes to, while a user is connected. */
  async function refused(archive: Buffer, version: string, options: { digest?: string } = {}) {
    const mirror = await startXrayMirror({ "25.8.31": archive }, options);
    const node = await startMaintained({ GARRISON_XRAY_MIRROR: mirror.url });
    const user = await withUser(node);
    const before = await engineOf(node.pid);
    const answer = await node.post("/node/core_update", { core_version: version });
    expect(await engineOf(node.pid)).toBe(before);
    await user.sends();
    const engines = join(node.directory, "cache/engines/xray");
    const left = (await readdir(engines).catch(() => [])).filter((name) => name.startsWith("."));
    expect(left).toEqual([]);
    return { status: answer.status, detail: JSON.parse(answer.text).detail };
  }

  it("when the archive has another digest", async () => {
    const wrong = "0".repeat(64);
    const { status, detail } = await refused(xrayRelease("25.8.31"), "v25.8.31", { digest: wrong });
    expect({ status, detail }).toEqual({ status: 500, detail: expect.stringContaining(`it should be ${wrong}`) });
  });

  it("when there is no digest", async () => {
    const { status, detail } = await refused(xrayRelease("25.8.31"), "v25.8.31", { digest: "none" });
    expect({ status, detail }).toEqual({ status: 500, detail: expect.stringContaining("names no SHA-256") });
  });

  it("when there is no such version", async () => {
    const { status, detail } = await refused(xrayRelease("25.8.31"), "v25.8.32");
    expect({ status, detail }).toEqual({ status: 404, detail: expect.stringContaining("there is no xray 25.8.32") });
  });

  it("when it is another version than it should be", async () => {
    const { status, detail } = await refused(xrayRelease("25.8.32"), "v25.8.31");
    expect({ status, detail }).toEqual({ status: 500, detail: expect.stringContaining("25.8.32") });
  });

  it("when it does not accept the config that runs", async () => {
    const { status, detail } = await refused(
      xrayRelease("25.8.31", "echo 'Failed to start: too new'; exit 23"),
      "latest",
    );
    expect({ status, detail }).toEqual({ status: 500, detail: "failed to start xray: Failed to start: too new" });
  });
});

it("brings the Xray before back, with its users, when the new one accepts the config and does not run", async () => {
  const script = "case \"$*\" in *-test*) ;; *) echo 'Failed to start: not today'; exit 23 ;; esac";
  const mirror = await startXrayMirror({ "25.8.31": xrayRelease("25.8.31", script) });
  const node = await startMaintained({ GARRISON_XRAY_MIRROR: mirror.url });
  const user = await withUser(node);
  const answer = { status: 500, body: { detail: "failed to start xray: Failed to start: not today" } };
  expect(await update(node, { core_version: "latest" })).toEqual(answer);
  await user.sends();
  expect(await engineVersion(node)).toBeUndefined();
});

it("78 goes on when its caller leaves; the same request joins it, another is refused, and anyone can ask how far it is", async () => {
  const hold = Promise.withResolvers<void>();
  const mirror = await startXrayMirror({ "25.8.31": xrayRelease("25.8.31") }, { hold: hold.promise });
  const node = await startMaintained({ GARRISON_XRAY_MIRROR: mirror.url });
  const { url, ca, key } = node.maintenance;
  const client = createClient(MaintenanceService, createGrpcTransport({ baseUrl: url, nodeOptions: { ca } }));
  const headers = { "x-api-key": key };
  const impatient = client.updateCore({ coreVersion: "latest" }, { headers, timeoutMs: 700 }).catch(() => "left");
  await vi.waitFor(() => expect(mirror.requests.at(-1)).toMatch(/\.zip$/), 5_000);
  const joined = [
    update(node, { core_version: "latest" }),
    client.updateCore({ coreVersion: "latest" }, { headers }),
  ] as const;
  const other = await node.post("/node/core_update", { core_version: "v25.8.30" });
  expect({ status: other.status, text: other.text }).toEqual({
    status: 409,
    text: expect.stringContaining("download"),
  });
  expect((await node.post("/node/hard_reset")).status).toBe(409);
  expect(await impatient).toBe("left");
  await sleep(200);
  const running = { kind: "core_update", subject: "latest", state: "running", started_at: expect.any(String) };
  const { jobs } = JSON.parse((await node.get("/node/jobs")).text);
  expect(jobs).toEqual([expect.objectContaining({ kind: running.kind, subject: "latest", state: "running" })]);
  expect(jobs[0].detail).toMatch(/^downloading/);
  hold.resolve();
  expect(await joined[0]).toEqual(updated("25.8.31", "next_start"));
  expect(await joined[1]).toMatchObject({ coreVersion: "25.8.31", effect: Effect.NEXT_START });
  expect(mirror.requests.filter((path) => path.endsWith(".zip"))).toHaveLength(1);
});

it("a digest that the caller gives counts, and not the one beside the archive", async () => {
  const archive = xrayRelease("25.8.31");
  const mirror = await startXrayMirror({ "25.8.31": archive }, { digest: "0".repeat(64) });
  const node = await startMaintained({ GARRISON_XRAY_MIRROR: mirror.url });
  const request = { core_version: "v25.8.31", sha256: sha256(archive).toUpperCase() };
  expect(await update(node, request)).toEqual(updated("25.8.31", "next_start"));
  const wrong = await node.post("/node/core_update", { ...request, sha256: "1".repeat(64) });
  expect(wrong.status).toBe(500);
});

it("a node that ends during a download ends at once, and leaves nothing half-done", async () => {
  const mirror = await startXrayMirror({ "25.8.31": xrayRelease("25.8.31") }, { hold: new Promise(() => undefined) });
  const node = await startMaintained({ GARRISON_XRAY_MIRROR: mirror.url });
  const answer = node.post("/node/core_update", { core_version: "latest" });
  await vi.waitFor(() => expect(mirror.requests.at(-1)).toMatch(/\.zip$/), 5_000);
  process.kill(node.pid, "SIGTERM");
  expect((await answer).status).toBe(503);
  await vi.waitFor(async () => expect(await readdir(join(node.directory, "cache/engines/xray"))).toEqual([]), 5_000);
});
