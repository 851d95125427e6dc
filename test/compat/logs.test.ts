import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { grpcClient } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { admitted } from "../support/users-online.ts";
import { xrayPath } from "../xray-path.ts";
import { type CompatNode, startNode } from "./harness.ts";

let node: CompatNode;
let target: ByteTarget;
let ports: number[];
const user = userOf("42", "vless");
beforeEach(async () => {
  [node, target, ports] = await Promise.all([startNode(), startByteTarget(), freePorts(4)]);
  await node.grpc.start({ config: nodeConfig(ports), users: [user] });
});
afterEach(() => Promise.all([node.close(), target.close()]));

/** Makes the engine write an access line. */
async function connectOnce(): Promise<void> {
  const protocol = proxyProtocols[0];
  if (protocol === undefined) throw new Error("no protocol");
  await admitted([{ protocol, port: ports[0] ?? 0, user }], target);
}

/** Follows the log over REST. */
async function followRest(accept = "*/*"): Promise<IncomingMessage> {
  const call = request(new URL("/logs", node.url), {
    ca: node.ca,
    agent: false,
    headers: { "x-api-key": node.key, accept },
  });
  call.end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  return response;
}

async function callsInFlight(): Promise<number> {
  const { text } = await node.request("GET", "/metrics");
  return Number(/^garrison_calls_in_flight\{.*\} (\d+)$/m.exec(text)?.[1]);
}

const access = /accepted tcp:127\.0\.0\.1:\d+ \[vless >> direct\] email: 42$/;

it("66. and 68. two gRPC viewers and a REST one all see the same new line", async () => {
  const leaving = new AbortController();
  const viewers = [1, 2].map(async () => {
    for await (const { detail } of grpcClient(node).getLogs({}, { signal: leaving.signal }))
      if (access.test(detail)) return detail;
    return undefined;
  });
  const rest = await followRest();
  const restLine = (async () => {
    for await (const line of createInterface(rest)) if (access.test(line)) return line;
    return undefined;
  })();
  await connectOnce();
  const [first, ...others] = await Promise.all([...viewers, restLine]);
  expect(first).toMatch(access);
  expect(new Set([first, ...others]).size).toBe(1);
});

it("66. viewers who leave are no calls any more", async () => {
  const leaving = new AbortController();
  const grpc = Array.fromAsync(grpcClient(node).getLogs({}, { signal: leaving.signal })).catch(() => "left");
  const rest = await followRest();
  await expect.poll(callsInFlight).toBe(2);
  leaving.abort();
  rest.destroy();
  expect(await grpc).toBe("left");
  await expect.poll(callsInFlight).toBe(0);
});

it("67. REST opens at once although the engine is silent, and sends plain lines", async () => {
  const times: number[] = [];
  // The machine may be busy with something else, but not every time.
  for (let attempt = 0; attempt < 20 && Math.min(...times) > 50; attempt += 1) {
    const asked = performance.now();
    const rest = await followRest();
    times.push(performance.now() - asked);
    expect([rest.statusCode, rest.headers["content-type"]]).toEqual([200, "text/event-stream"]);
    const [line] = (await once(createInterface(rest), "line")) as [string];
    expect(line).not.toMatch(/^data:/);
    rest.destroy();
  }
  expect(Math.min(...times)).toBeLessThan(50);
});

it("67. real server-sent events are for those who ask for them by name", async () => {
  const rest = await followRest("text/event-stream");
  const [line] = (await once(createInterface(rest), "line")) as [string];
  expect(line).toMatch(/^(data:|:)/);
  rest.destroy();
});

it("69. Stop ends a stream that is open", async () => {
  const rest = await followRest();
  const grpc = Array.fromAsync(grpcClient(node).getLogs({})).then(
    () => "ended",
    () => "failed",
  );
  const ended = once(rest.resume(), "close");
  await node.grpc.stop();
  await ended;
  expect(await grpc).toMatch(/ended|failed/);
});

it("what the engine says on stderr is kept, and a line of any length survived", async () => {
  // Stands before the real engine, and says what that says only when it is broken.
  const talker = join(node.directory, "talker");
  const says = ["echo 'words on stderr' >&2", "head -c 3000000 /dev/zero | tr '\\0' x", "echo", "echo 'short words'"];
  await writeFile(talker, ["#!/bin/sh", ...says, `exec ${await xrayPath()} "$@"`, ""].join("\n"), { mode: 0o755 });
  const talking = await startNode({ XRAY_EXECUTABLE_PATH: talker });
  try {
    await talking.grpc.start({ config: nodeConfig(await freePorts(4)) });
    const lines: string[] = [];
    for await (const { detail } of grpcClient(talking).getLogs({})) {
      lines.push(detail);
      if (lines.includes("short words") && lines.includes("words on stderr")) break;
    }
    expect(lines.filter((line) => /^x+$/.test(line)).join("")).toHaveLength(3_000_000);
  } finally {
    await talking.close();
  }
});
