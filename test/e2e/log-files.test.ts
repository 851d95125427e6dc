import { mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type CompatNode, startNode } from "../compat/harness.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { engineOf } from "../support/child-processes.ts";
import { grpcClient } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { admitted } from "../support/users-online.ts";

// The log files that an admin's config names, as `garrison node` writes them while a real Xray runs.

let node: CompatNode;
let target: ByteTarget;
let ports: number[];
let directory: string;
beforeAll(async () => {
  [node, target, ports] = await Promise.all([startNode(), startByteTarget(), freePorts(proxyProtocols.length)]);
});
afterAll(() => Promise.all([node.close(), target.close()]));
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-log-files-"));
});
afterEach(async () => {
  await node.grpc.stop();
  await rm(directory, { recursive: true });
});

const [protocol = expect.fail("no protocol")] = proxyProtocols;
const users = ["42", "silent", "heard"].map((email) => userOf(email, protocol.name));
const at = (name: string) => join(directory, name);
const read = (name: string) => readFile(at(name), "utf8");
const access = /from 127\.0\.0\.1:\d+ accepted tcp:127\.0\.0\.1:\d+ \[vless >> direct\] email: 42\n/g;
const accessLines = async (name: string) => (await read(name)).match(access)?.length ?? 0;

const start = (log: object) =>
  node.grpc.start({ config: JSON.stringify({ ...JSON.parse(nodeConfig(ports)), log }), users });

/** Connects once, so that Xray writes one access line. */
async function connect(email = "42"): Promise<void> {
  const user = users.find((one) => one.email === email) ?? expect.fail(`no user ${email}`);
  expect(await admitted([{ protocol, port: ports[0] ?? 0, user }], target)).toEqual([true]);
}

/** What a viewer who comes now sees of the log. */
async function seenLog(): Promise<string[]> {
  const leaving = new AbortController();
  const lines: string[] = [];
  const follow = async () => {
    for await (const { detail } of grpcClient(node).getLogs({}, { signal: leaving.signal })) lines.push(detail);
  };
  const followed = follow().catch(() => undefined);
  await setTimeout(300);
  leaving.abort();
  await followed;
  return lines;
}

describe("the log files of the config", () => {
  it("get who was let in and all else, in directories that are made", async () => {
    await start({ loglevel: "info", access: at("a/access.log"), error: at("e/error.log") });
    await connect();
    await expect.poll(() => accessLines("a/access.log")).toBe(1);
    const others = (await read("a/access.log")).replace(access, "").split("\n");
    // The node itself is let in to the API.
    for (const line of others.slice(0, -1)) expect(line).toMatch(/ accepted .*\[API_INBOUND (->|>>) API\]$/);
    const error = await read("e/error.log");
    expect(error).toMatch(/^Xray \d/);
    expect(error).toContain("[Warning] core: Xray");
    expect(error).not.toMatch(/email: 42$/m);
  });

  it("have all lines when the engine was stopped, its last ones among them", async () => {
    await start({ loglevel: "debug", access: at("log"), error: at("log") });
    for (let n = 0; n < 3; n += 1) await connect();
    await node.grpc.stop();
    const log = await read("log");
    expect(log.match(access)).toHaveLength(3);
    expect(log).toMatch(/^Xray \d/);
    await start({ loglevel: "debug", access: at("log"), error: at("log") });
    expect((await read("log")).startsWith(log)).toBe(true);
  });

  it("are made anew when they were rotated away", async () => {
    await start({ loglevel: "warning", access: at("access.log") });
    await connect();
    await expect.poll(() => accessLines("access.log")).toBe(1);
    await rename(at("access.log"), at("access.log.1"));
    await connect();
    await expect.poll(() => accessLines("access.log").catch(() => 0)).toBe(1);
    expect(await accessLines("access.log.1")).toBe(1);
  });

  it("can be others from one Start to the next, while the engine runs on", async () => {
    await start({ loglevel: "info", access: at("one") });
    await connect();
    await expect.poll(() => accessLines("one")).toBe(1);
    const engine = await engineOf(node.pid);
    await start({ loglevel: "info", access: at("two") });
    expect(await engineOf(node.pid)).toBe(engine);
    await connect();
    await expect.poll(() => accessLines("two")).toBe(1);
    // Where the lines go is remembered when the engine has to be started again.
    process.kill(engine, "SIGKILL");
    await expect.poll(async () => (await engineOf(node.pid).catch(() => engine)) !== engine).toBe(true);
    await expect
      .poll(() =>
        connect().then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    await expect.poll(() => accessLines("two")).toBeGreaterThan(1);
    expect(await accessLines("one")).toBe(1);
  });

  it("are none for `none` and for an empty path", async () => {
    await start({ loglevel: "info", access: "none", error: "" });
    await connect("silent");
    await node.grpc.stop();
    await start({ loglevel: "info" });
    await connect("heard");
    // The one who came later is there, so that the other would be, too.
    await expect
      .poll(async () => (await seenLog()).flatMap((line) => /email: (silent|heard)$/.exec(line)?.[1] ?? []))
      .toEqual(["heard"]);
    expect(await readdir(directory)).toEqual([]);
    expect(await readdir(node.directory)).not.toContain("none");
  });

  it("that cannot be written are told of in the log, and harm nobody", async () => {
    await start({ loglevel: "info", access: "/dev/full", error: at("error.log") });
    await connect();
    await connect();
    await expect
      .poll(async () => (await seenLog()).filter((line) => line.includes("/dev/full")))
      .toEqual([
        "[garrison] the log file /dev/full cannot be written, and its lines are lost: " +
          "Error: ENOSPC: no space left on device, write",
      ]);
    expect(await read("error.log")).toContain("[Warning] core: Xray");
  });
});
