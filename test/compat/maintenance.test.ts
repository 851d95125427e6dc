import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect, it, onTestFinished, vi } from "vitest";
import { MaintenanceService } from "../../gen/garrison/node/v1/maintenance_pb.ts";
import { childrenOf, isAlive } from "../support/child-processes.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, userOf } from "../support/proxy-protocols.ts";
import { failureOf, startNode } from "./harness.ts";
import { startMaintained, told } from "./maintenance.ts";

/** A shell script that is gone after the test. */
async function script(name: string, lines: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "garrison-update-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const path = join(directory, name);
  await writeFile(path, `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
  return path;
}

const ok = { status: 200, body: { status: "ok" } };

it("76 answers GET on every path that nothing else is at, with the key in each of its spellings", async () => {
  const node = await startMaintained();
  const bare = node.key.replaceAll("-", "");
  for (const key of [node.key, node.key.toUpperCase(), bare, `{${node.key}}`, `urn:uuid:${node.key}`]) {
    expect(told(await node.get("/", { "x-api-key": key }))).toEqual(ok);
  }
  expect(told(await node.get("/", { authorization: `Bearer ${node.key}` }))).toEqual(ok);
  expect(told(await node.get("/node/update?x=1"))).toEqual(ok);
  const { info, paths } = JSON.parse((await node.get("/openapi.json")).text);
  expect(info.title).toBe("Garrison node: maintenance");
  expect(paths["/node/core_update"].post.responses.default).toEqual({ $ref: "#/components/responses/error-detail" });
});

it("refuses wrong keys in the original's words, before it tells what there is", async () => {
  const node = await startMaintained();
  const missing = { status: 401, body: { detail: "missing api key" } };
  const invalid = { status: 401, body: { detail: "invalid api key" } };
  for (const path of ["/", "/node/jobs"]) expect(told(await node.get(path, {}))).toEqual(missing);
  for (const path of ["/node/update", "/node/core_update", "/node/geofiles", "/node/hard_reset", "/nothing"]) {
    expect(told(await node.post(path, {}, {}))).toEqual(missing);
    expect(told(await node.post(path, {}, { "x-api-key": "abc" }))).toEqual(invalid);
    expect(told(await node.post(path, {}, { "x-api-key": crypto.randomUUID() }))).toEqual(invalid);
  }
  expect(told(await node.get("/", { authorization: "Bearer abc" }))).toEqual(invalid);
  const unknown = await node.post("/nothing", {});
  expect({ status: unknown.status, allow: unknown.headers.allow }).toEqual({ status: 405, allow: "GET, HEAD" });
  expect(JSON.parse(unknown.text)).toEqual({ detail: expect.stringContaining("GET, HEAD") });
});

it("answers bad input with 400 and why, and does nothing", async () => {
  const node = await startMaintained();
  const bad = async (path: string, body: unknown) => told(await node.post(path, body));
  const pattern = { status: 400, body: { detail: "core_version must match pattern vX.X.X" } };
  for (const version of [
    "v1.2",
    "1.2.3.4",
    "LATEST",
    "v1.2.3; reboot",
    "../../v1.2.3",
    "v1.2.3\n",
    "$(id)",
    "-v1.2.3",
  ]) {
    expect(await bad("/node/core_update", { core_version: version })).toEqual(pattern);
  }
  const required = { status: 400, body: { detail: "core_version is required" } };
  expect(await bad("/node/core_update", {})).toEqual(required);
  expect(await bad("/node/core_update", { core_version: null })).toEqual(required);
  expect(await bad("/node/core_update", undefined)).toEqual(required);
  for (const body of ["{", "[]", '{"core_version":{}}', "\xff"]) {
    expect(await bad("/node/core_update", body)).toEqual({ status: 400, body: { detail: "Invalid JSON body" } });
  }
  const tooLong = await node.post("/node/core_update", { core_version: "1".repeat(65) });
  expect({ status: tooLong.status, text: tooLong.text }).toMatchObject({ status: 400, text: /core_version: .*64/ });
  const digest = await node.post("/node/core_update", { core_version: "v1.2.3", sha256: "abc" });
  expect(digest.status).toBe(400);
  const regions = "iran, russia, china";
  expect(await bad("/node/geofiles", {})).toEqual({
    status: 400,
    body: { detail: `region is required: ${regions}` },
  });
  expect(await bad("/node/geofiles", { region: "../iran" })).toEqual({
    status: 400,
    body: { detail: `Unsupported region ../iran: there are ${regions}` },
  });
  expect((await node.post("/node/geofiles", { region: "x".repeat(1_100_000) })).status).toBe(413);
  expect(told(await node.get("/node/jobs"))).toEqual({ status: 200, body: {} });
});

it("is not there unless API_PORT is set, and a taken one costs nobody the node", async () => {
  const plain = await startNode();
  onTestFinished(() => plain.close());
  expect(plain.log()).not.toContain("maintenance");
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  onTestFinished(() => void taken.close());
  const address = taken.address();
  const port = typeof address === "object" ? address?.port : undefined;
  const node = await startMaintained({ API_PORT: `${port}` });
  expect((await node.rest.info()).nodeVersion).not.toBe("");
  expect(node.log()).toContain("API_PORT cannot be had");
});

it("updates the node with the program that the operator named, whose arguments no shell sees", async () => {
  const program = await script(
    "update",
    'cd "$(dirname "$0")"; echo "$# $1 $2" > said; env | grep -c ^API_KEY= >> said; sleep 0.3',
  );
  const node = await startMaintained({ GARRISON_UPDATE_COMMAND: `${program}  $(id) ;reboot` });
  const both = await Promise.all([node.post("/node/update"), node.post("/node/update", "")]);
  const updated = { status: 200, body: { detail: "node updated successfully" } };
  expect(both.map(told)).toEqual([updated, updated]);
  expect(await readFile(join(program, "../said"), "utf8")).toBe("2 $(id) ;reboot\n0\n");
  const { jobs } = JSON.parse((await node.get("/node/jobs")).text);
  expect(jobs).toMatchObject([{ kind: "node_update", state: "succeeded", detail: "node updated successfully" }]);
});

it("tells why an update of the node failed, and that there is none without a program for it", async () => {
  const program = await script("update", "echo 'no space left'; exit 3");
  const node = await startMaintained({ GARRISON_UPDATE_COMMAND: program });
  expect(told(await node.post("/node/update"))).toEqual({
    status: 500,
    body: { detail: "update failed on server: exit code 3: no space left" },
  });
  const other = await startMaintained();
  expect(told(await other.post("/node/update"))).toEqual({
    status: 412,
    body: { detail: expect.stringContaining("GARRISON_UPDATE_COMMAND") },
  });
  const { url, ca, key } = other.maintenance;
  const client = createClient(MaintenanceService, createGrpcTransport({ baseUrl: url, nodeOptions: { ca } }));
  const headers = { "x-api-key": key };
  expect(await failureOf(client.updateNode({}, { headers }))).toMatchObject({ code: Code.FailedPrecondition });
  expect(await failureOf(client.updateNode({}))).toEqual({ code: Code.Unauthenticated, text: "missing api key" });
  expect(await client.check({}, { headers })).toMatchObject({ status: "ok" });
});

it("answers whoever asked for an update that restarts the node, and lets its program go on", async () => {
  const program = await script("update", 'kill "$1"; sleep 1; echo done > "$(dirname "$0")/said"');
  const starter = await script("start", `exec ${program} "$PPID"`);
  const node = await startMaintained({ GARRISON_UPDATE_COMMAND: starter });
  const answer = await node.post("/node/update");
  expect(told(answer)).toEqual({ status: 200, body: { detail: "the node is being restarted for its update" } });
  await vi.waitFor(async () => expect(await isAlive(node.pid)).toBe(false), 10_000);
  await vi.waitFor(async () => expect(await readFile(join(program, "../said"), "utf8")).toBe("done\n"), 10_000);
});

it("100 restarts the node as a whole: answered first, then there again under the same pid, with nothing left", async () => {
  const node = await startMaintained();
  const ports = await freePorts(4);
  await node.grpc.start({ config: nodeConfig(ports), users: [userOf("1", "vless")] });
  const before = await childrenOf(node.pid);
  expect(before).not.toEqual([]);
  expect(told(await node.post("/node/hard_reset"))).toEqual({
    status: 200,
    body: { detail: "node restarted successfully" },
  });
  await vi.waitFor(async () => expect((await node.rest.info()).started).toBe(false), {
    timeout: 20_000,
    interval: 100,
  });
  await vi.waitFor(async () => expect(told(await node.get("/"))).toEqual(ok), { timeout: 5_000, interval: 100 });
  expect(await Promise.all(before.map(isAlive))).toEqual(before.map(() => false));
  expect(node.log().match(/"maintenance API"/g)).toHaveLength(2);
  expect(execFileSync("ps", ["-o", "args=", "-p", `${node.pid}`], { encoding: "utf8" })).toContain("main.ts node");
  expect((await node.grpc.start({ config: nodeConfig(ports), users: [userOf("1", "vless")] })).started).toBe(true);
});
