import { chmod, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { type AddressInfo, connect as connectTo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { User } from "../../gen/service/node_pb.ts";
import { createConnectionCutter } from "../../src/node/engines/sockets/connection-cutter.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, type ProxyProtocol, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import {
  connectSteadily,
  type EchoTarget,
  type SteadyConnection,
  startEchoTarget,
} from "../support/steady-connections.ts";
import { openVless, untilAdmitted } from "../support/vless-client.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { type CompatNode, failureOf, startNode } from "./harness.ts";

// What a node says that cuts nobody off: since it was not told to, cannot, or would cut the wrong connection. Users
// connect from 127.0.0.2, which Xray counts, other than 127.0.0.1.

const { inability } = await createConnectionCutter({ env: process.env });
const usualPath = "/usr/sbin:/usr/bin:/sbin:/bin";
const [vless] = proxyProtocols as [ProxyProtocol];
const address = "127.0.0.2";
let echo: EchoTarget;
let directory: string;
beforeAll(async () => {
  echo = await startEchoTarget();
  directory = await mkdtemp(join(tmpdir(), "garrison-kick-"));
  await symlink("/usr/bin/dirname", join(directory, "dirname")); // that the command itself needs
});
afterAll(() => Promise.all([echo.close(), rm(directory, { recursive: true })]));

/** Starts a node with a user who is connected. */
async function startWithUser(
  variables: Record<string, string>,
): Promise<{ node: CompatNode; connection: SteadyConnection }> {
  const node = await startNode(variables);
  onTestFinished(() => node.close());
  const [port = 0] = await freePorts(1);
  const user = userOf("42", "vless");
  await node.grpc.start({ config: nodeConfig([port], [vless]), users: [user] });
  const client = await startXrayClient([{ ...vless.outbound(port, user), sendThrough: address }]);
  onTestFinished(() => client.close());
  const connection = await connectSteadily(client.proxyPorts[0] ?? 0, echo);
  onTestFinished(() => connection.close());
  return { node, connection };
}

const removeAll = async (node: CompatNode) => {
  const { status, headers } = await node.request("PUT", "/users/sync", undefined, new Uint8Array());
  expect(status).toBe(200);
  const told = headers["garrison-kick"];
  return told === undefined ? undefined : JSON.parse(String(told));
};
const kick = async (node: CompatNode, request: object = { emails: ["42"] }) => {
  const headers = { "x-api-key": node.key, "content-type": "application/json" };
  const { status, text } = await node.request(
    "POST",
    "/connections/kick",
    headers,
    Buffer.from(JSON.stringify(request)),
  );
  return { status, ...JSON.parse(text) };
};
const stillCarries = async (connection: SteadyConnection) => {
  await connection.carries();
  expect(connection.dropped).toBe(false);
};

describe("a node that was not told to", () => {
  it("cuts nobody off, and says nothing of it", async () => {
    const { node, connection } = await startWithUser({});
    expect((await node.grpc.info()).kick).toBeUndefined();
    expect(await removeAll(node)).toBeUndefined();
    await stillCarries(connection);
    expect(node.log()).not.toContain("cut");
    expect((await node.request("GET", "/metrics")).text).not.toContain("connections_cut");
  });

  it("refuses to when it is asked, with what to do", async () => {
    const { node } = await startWithUser({ GARRISON_KICK: "off" });
    const error = "connections are not cut here: set GARRISON_KICK=on, and start the node again";
    expect(await kick(node)).toMatchObject({ status: 412, ok: false, error, code: "FAILED_PRECONDITION" });
    const connect = await node.request(
      "POST",
      "/garrison.node.v1.ConnectionService/KickUsers",
      { "x-api-key": node.key, "content-type": "application/json" },
      Buffer.from('{"emails":["42"]}'),
    );
    expect(JSON.parse(connect.text)).toMatchObject({ code: "failed_precondition", message: error });
  });
});

it("without `ss` a node says what is missing, wherever it is asked", async () => {
  const { node, connection } = await startWithUser({ GARRISON_KICK: "on", PATH: directory });
  const reason = "`ss` is not installed: install the package iproute2 and start the node again";
  expect(await node.rest.info()).toMatchObject({ kick: { available: false, reason } });
  expect(node.log()).toContain(reason);
  expect(await kick(node)).toMatchObject({ status: 412, error: reason });
  expect(await removeAll(node)).toEqual({
    cut: 0,
    left: 1,
    users: [{ email: "42", cut: 0, left: [[address, "not_able"]] }],
  });
  await stillCarries(connection);
});

it("a node that may not cut connections says which right it lacks", async () => {
  const less = inability === undefined ? "setpriv --bounding-set=-net_admin --inh-caps=-net_admin" : "";
  await program("ss", `PATH=${usualPath} exec ${less} ss "$@"`);
  const node = await startNode({ GARRISON_KICK: "on", PATH: directory });
  onTestFinished(() => node.close());
  expect((await node.grpc.info()).kick?.reason).toContain("CAP_NET_ADMIN");
});

it("a kernel that does not end connections is found out", async () => {
  await program("ss", "exit 0");
  const node = await startNode({ GARRISON_KICK: "on", PATH: directory });
  onTestFinished(() => node.close());
  expect((await node.grpc.info()).kick?.reason).toContain("CONFIG_INET_DIAG_DESTROY");
});

it.skipIf(inability !== undefined)("an `ss` that hangs fails no sync, and does not hold it up for long", async () => {
  const used = join(directory, "used");
  await program("ss", `if [ -e ${used} ]; then exec /bin/sleep 60; fi; : > ${used}; PATH=${usualPath} exec ss "$@"`);
  const { node, connection } = await startWithUser({ GARRISON_KICK: "on", PATH: directory });
  expect(await node.grpc.info()).toMatchObject({ kick: { available: true } });
  const beganAt = performance.now();
  expect(await removeAll(node)).toMatchObject({ cut: 0, left: 1, users: [{ left: [[address, "failed"]] }] });
  expect(performance.now() - beganAt).toBeLessThan(5_000);
  await stillCarries(connection);
});

it.skipIf(inability !== undefined)("without a backend there is nothing to cut", async () => {
  const node = await startNode({ GARRISON_KICK: "on" });
  onTestFinished(() => node.close());
  expect(await kick(node)).toMatchObject({ error: "backend not initialized" });
  expect(await failureOf(node.grpc.syncUsers({}))).toMatchObject({ code: Code.Unavailable });
});

it.skipIf(inability !== undefined)("a user behind a proxy is left, since the connection is the proxy's", async () => {
  const node = await startNode({ GARRISON_KICK: "on" });
  onTestFinished(() => node.close());
  const [port = 0] = await freePorts(1);
  const user: User = userOf("42", "vless");
  const config = JSON.parse(nodeConfig([port], [vless]));
  config.inbounds[0].streamSettings = { sockopt: { acceptProxyProtocol: true } };
  await node.grpc.start({ config: JSON.stringify(config), users: [user] });
  const proxied = "203.0.113.9";
  const proxyPort = await startProxyInFront(port, proxied);
  const socket = openVless({ inboundPort: proxyPort, targetPort: echo.port }, user.proxies?.vless?.id ?? "");
  onTestFinished(() => void socket.destroy());
  socket.write("x");
  await untilAdmitted(socket);
  expect((await node.grpc.onlineAddresses("42")).ips).toHaveProperty([proxied]);
  expect(await removeAll(node)).toEqual({
    cut: 0,
    left: 1,
    users: [{ email: "42", cut: 0, left: [[proxied, "not_a_direct_peer"]] }],
  });
  expect(socket.destroyed).toBe(false);
});

it.skipIf(inability !== undefined)("a node that takes an Xray over cuts those who were connected before", async () => {
  const data = await mkdtemp(join(tmpdir(), "garrison-kick-data-"));
  onTestFinished(() => rm(data, { recursive: true }));
  const variables = { GARRISON_KICK: "on", GARRISON_RESUME: "on", GARRISON_DATA_DIR: data };
  const first = await startNode(variables);
  const [port = 0] = await freePorts(1);
  const user = userOf("42", "vless");
  await first.grpc.start({ config: nodeConfig([port], [vless]), users: [user] });
  const client = await startXrayClient([{ ...vless.outbound(port, user), sendThrough: address }]);
  onTestFinished(() => client.close());
  const connection = await connectSteadily(client.proxyPorts[0] ?? 0, echo);
  await first.close();
  const next = await startNode(variables);
  onTestFinished(async () => {
    await next.grpc.stop();
    await next.close();
  });
  await expect.poll(async () => (await next.grpc.info()).started, { timeout: 10_000 }).toBe(true);
  expect(connection.dropped).toBe(false);
  expect(await removeAll(next)).toEqual({ cut: 1, left: 0, users: [{ email: "42", cut: 1, left: [] }] });
  await expect.poll(() => connection.dropped).toBe(true);
});

/** Writes a program into the directory that is the node's whole `PATH`. */
async function program(name: string, script: string): Promise<void> {
  const file = join(directory, name);
  onTestFinished(() => rm(file));
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
}

/** A load balancer that tells one address for all of its clients, by the PROXY protocol. Returns its port. */
async function startProxyInFront(port: number, address: string): Promise<number> {
  const server = createServer((client) => {
    const behind = connectTo({ host: "127.0.0.1", port });
    behind.write(`PROXY TCP4 ${address} 127.0.0.1 50000 ${port}\r\n`);
    client.pipe(behind).pipe(client);
    for (const socket of [client, behind])
      socket.on("error", () => [client, behind].forEach((end) => void end.destroy()));
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  return (server.address() as AddressInfo).port;
}
