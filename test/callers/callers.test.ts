import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePorts } from "../support/ports.ts";
import { run } from "./command.ts";
import { type RealNode, startRealNode } from "./real-node.ts";
import { buildGoCaller, preparePythonCaller } from "./toolchains.ts";
import { xrayConfig } from "./xray-config.ts";

// Building a caller fetches modules and packages the first time.
const buildMs = 300_000;

/** What a caller saw; see go/main.go. */
interface Result {
  started: boolean;
  coreVersion: string;
  before: string;
  after: string;
  fetched: string;
  traffic: { uplink: number; downlink: number };
  wrongKey: string;
}

describe("a client that was generated in another language", () => {
  const body = "x".repeat(100_000);
  let node: RealNode;
  let target: Server;

  beforeAll(async () => {
    node = await startRealNode();
    target = createServer((_request, response) => response.end(body)).listen(0, "127.0.0.1");
    await once(target, "listening");
  });
  afterAll(async () => {
    target?.close();
    await node?.close();
  });

  const drive = async (command: string, args: string[], directory: string) => {
    const [vless = 0, proxy = 0] = await freePorts(2);
    const task = {
      address: new URL(node.url).host,
      certificate: node.certificate,
      key: node.key,
      config: xrayConfig({ vless, proxy }),
      inbound: "vless-in",
      proxy: `http://127.0.0.1:${proxy}`,
      target: `http://127.0.0.1:${(target.address() as AddressInfo).port}/`,
    };
    // Without the variables of the machine: a proxy named there would be asked for 127.0.0.1 too.
    const env = { PATH: process.env.PATH, HOME: process.env.HOME };
    return JSON.parse(await run(command, args, { cwd: directory, env, input: JSON.stringify(task) })) as Result;
  };
  const directoryOf = async (name: string) => {
    const directory = join(node.directory, name);
    await mkdir(directory);
    return directory;
  };
  const expectDriven = (result: Result) => {
    expect(result).toMatchObject({ started: true, before: "NotFound", after: "OK", fetched: body });
    expect(result.coreVersion).toMatch(/^\d+\.\d+\.\d+$/);
    expect(result.traffic.downlink).toBeGreaterThan(body.length);
    expect(result.traffic.uplink).toBeGreaterThan(0);
    expect(result.wrongKey).toBe("Unauthenticated");
  };

  test("in Go, with grpc-go, starts Xray, syncs users in chunks and reads counters", { timeout: buildMs }, async () => {
    const directory = await directoryOf("go");
    expectDriven(await drive(await buildGoCaller(directory), [], directory));
  });

  test("in Python, with grpcio, does the same", { timeout: buildMs }, async () => {
    const directory = await directoryOf("python");
    expectDriven(await drive(await preparePythonCaller(directory), ["caller.py"], directory));
  });
});
