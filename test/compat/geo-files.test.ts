import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { sha256, startMirror } from "../install/mirror.ts";
import { engineOf } from "../support/child-processes.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, userOf } from "../support/proxy-protocols.ts";
import { xrayPath } from "../xray-path.ts";
import { type MaintainedNode, startMaintained, told } from "./maintenance.ts";

/** A field of a Protocol Buffers message whose bytes are given, at most 127 of them. */
const field = (number: number, ...parts: readonly (string | Buffer)[]) => {
  const bytes = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
};
const geoip = (country: string) => {
  const cidr = Buffer.concat([field(1, Buffer.from([10, 1, 2, 0])), Buffer.from([0x10, 24])]);
  return field(1, field(1, country), field(2, cidr));
};
const geosite = (category: string) =>
  field(1, field(1, category), field(2, Buffer.from([0x08, 2]), field(2, "example.org")));

/** A mirror of geodata by path. Each file has its digest beside it, unless another one is given. */
async function mirrorOf(files: Record<string, Buffer>, digest?: string) {
  const mirror = await startMirror(({ url = "" }, response) => {
    const name = url.replace(/\.sha256sum$/, "");
    const file = files[name];
    if (file === undefined) return response.writeHead(404).end();
    return response.end(name === url ? file : `${digest ?? sha256(file)}  ${name.split("/").at(-1)}\n`);
  });
  onTestFinished(() => mirror.close());
  return mirror.url;
}
const filesOf = (region: string, country: string) => ({
  [`/${region}/geoip.dat`]: geoip(country),
  [`/${region}/geosite.dat`]: geosite(country),
});

const update = async (node: MaintainedNode, request: object) => told(await node.post("/node/geofiles", request));
const updated = (effect: string) => ({ status: 200, body: { detail: "geofiles updated successfully", effect } });
const assets = (node: MaintainedNode, ...names: string[]) => join(node.directory, "assets", ...names);
const contents = (node: MaintainedNode) =>
  Promise.all(["geoip.dat", "geosite.dat"].map((name) => readFile(assets(node, name))));

/** Starts a backend whose routing needs a country of the geodata. */
async function startWith(node: MaintainedNode, country: string): Promise<void> {
  const rules = [{ ip: [`geoip:${country}`], domain: [`geosite:${country}`], outboundTag: "block" }];
  const config = { ...JSON.parse(nodeConfig(await freePorts(4))), routing: { rules } };
  await node.grpc.start({ config: JSON.stringify(config), users: [userOf("1", "vless")] });
}

it("are brought for a region, and used by the Xray that runs, whose users stay", async () => {
  const mirror = await mirrorOf({ ...filesOf("iran", "IR"), ...filesOf("china", "IR") });
  const node = await startMaintained({ GARRISON_GEO_MIRROR: `${mirror}/` });
  expect(await update(node, { region: "iran" })).toEqual(updated("next_start"));
  expect(await contents(node)).toEqual([geoip("IR"), geosite("IR")]);
  expect((await readdir(assets(node))).sort()).toEqual(["geoip.dat", "geosite.dat"]);
  await startWith(node, "ir");
  const before = await engineOf(node.pid);
  expect(await update(node, { region: "china" })).toEqual(updated("now"));
  expect(await engineOf(node.pid)).not.toBe(before);
  const running = await engineOf(node.pid);
  expect(await update(node, { region: "china", defer: true })).toEqual(updated("next_start"));
  expect(await engineOf(node.pid)).toBe(running);
});

it("are refused, and those that are there stay, when the config that runs needs what they lack", async () => {
  const mirror = await mirrorOf({ ...filesOf("iran", "IR"), ...filesOf("russia", "RU") });
  const node = await startMaintained({ GARRISON_GEO_MIRROR: mirror });
  await update(node, { region: "iran" });
  await startWith(node, "ir");
  const before = await engineOf(node.pid);
  expect(await update(node, { region: "russia" })).toEqual({
    status: 500,
    body: { detail: expect.stringMatching(/failed to start xray: .*ir/is) },
  });
  expect(await engineOf(node.pid)).toBe(before);
  expect(await contents(node)).toEqual([geoip("IR"), geosite("IR")]);
  expect((await readdir(assets(node))).sort()).toEqual(["geoip.dat", "geosite.dat"]);
});

it("are taken back when Xray does not start with them after all, and the users are back at once", async () => {
  const mirror = await mirrorOf({ ...filesOf("iran", "IR"), ...filesOf("china", "CN"), ...filesOf("russia", "RU") });
  const directory = await mkdtemp(join(tmpdir(), "garrison-moody-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const program = join(directory, "xray");
  const mood = join(directory, "mood");
  const lines = [
    "#!/bin/sh",
    'case "$*" in *-test*) ;; *)',
    `  if [ -e '${mood}' ]; then rm '${mood}'; echo 'Failed to start: not now'; exit 23; fi ;;`,
    "esac",
    `exec '${await xrayPath()}' "$@"`,
  ];
  await writeFile(program, lines.join("\n"), { mode: 0o755 });
  const node = await startMaintained({ GARRISON_GEO_MIRROR: mirror, XRAY_EXECUTABLE_PATH: program });
  const failing = { status: 500, body: { detail: "failed to start xray: Failed to start: not now" } };
  await node.grpc.start({ config: nodeConfig(await freePorts(4)), users: [userOf("1", "vless")] });
  await writeFile(mood, "");
  expect(await update(node, { region: "china" })).toEqual(failing);
  expect(await readdir(assets(node)), "there were none before").toEqual([]);
  expect(await update(node, { region: "iran" })).toEqual(updated("now"));
  await writeFile(mood, "");
  expect(await update(node, { region: "russia" })).toEqual(failing);
  expect(await contents(node)).toEqual([geoip("IR"), geosite("IR")]);
  expect((await node.rest.info()).started).toBe(true);
});

it("are refused with another digest, without one, and where there are none", async () => {
  const wrong = "0".repeat(64);
  const mirror = await mirrorOf(filesOf("iran", "IR"), wrong);
  const node = await startMaintained({ GARRISON_GEO_MIRROR: mirror });
  const refusal = (text: string) => ({ status: 500, body: { detail: expect.stringContaining(text) } });
  expect(await update(node, { region: "iran" })).toEqual(refusal(`it should be ${wrong}`));
  expect(await update(node, { region: "russia" })).toEqual(refusal("HTTP status 404"));
  const none = await startMaintained({ GARRISON_GEO_MIRROR: await mirrorOf(filesOf("iran", "IR"), "none") });
  expect(await update(none, { region: "iran" })).toEqual(refusal("names no SHA-256"));
  for (const each of [node, none]) expect(await readdir(assets(each))).toEqual([]);
});

it("cannot be put where the node may not write, and it says where that is", async () => {
  const mirror = await mirrorOf(filesOf("iran", "IR"));
  const node = await startMaintained({ GARRISON_GEO_MIRROR: mirror });
  await writeFile(assets(node), "a file where the directory should be");
  expect(await update(node, { region: "iran" })).toEqual({
    status: 500,
    body: { detail: expect.stringContaining("XRAY_ASSETS_PATH is ") },
  });
});
