// Compares the transport with its peers in one run: the server on one processor, the load on the other, all in turns.
// Prints medians and ratios beside their targets; exits with 1 when a target is missed.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { StatRequestSchema, UserSchema } from "../../gen/service/node_pb.ts";
import { type ChildServer, startServer } from "../child-server.ts";
import { type Load, requestsPerSecond } from "../h2load.ts";
import { inTurns, type Measurement, median } from "../rounds.ts";
import { key, streamLength } from "./bench-service.ts";
import { checkAnswers } from "./check-answers.ts";

const rounds = 5;
const seconds = 2;
const usersPerStream = 10_000;

type Shape = Pick<Load, "clients" | "parallel" | "amount">;

const busy: Shape = { clients: 4, parallel: 32, amount: { seconds } };
const directory = mkdtempSync(join(tmpdir(), "garrison-bench-"));
process.once("exit", () => rmSync(directory, { recursive: true }));
const bodies = {
  statProto: file("stat.bin", toBinary(StatRequestSchema, statRequest())),
  statFrame: file("stat.frame", frame(toBinary(StatRequestSchema, statRequest()))),
  emptyFrame: file("empty.frame", frame(new Uint8Array())),
  userFrames: file(
    "users.frames",
    Buffer.concat(Array.from({ length: usersPerStream }, (_, index) => frame(userOf(index)))),
  ),
};

const script = (name: string) => new URL(name, import.meta.url).pathname;
const servers = {
  short: await startServer(script("serve-garrison.ts"), ["short"]),
  router: await startServer(script("serve-garrison.ts"), ["router"]),
  grpcJs: await startServer(script("serve-grpc-js.ts")),
  connectFastify: await startServer(script("serve-connect-fastify.ts")),
  fastify: await startServer(script("serve-fastify.ts")),
};
try {
  await checkAnswers(servers);
  await main();
} finally {
  await Promise.all(Object.values(servers).map((server) => server.close()));
}

async function main(): Promise<void> {
  const measured = await inTurns(
    new Map<string, Measurement>([
      ["unary short", grpc(servers.short, "GetStats", bodies.statFrame, busy)],
      ["unary router", grpc(servers.router, "GetStats", bodies.statFrame, busy)],
      ["unary grpc-js", grpc(servers.grpcJs, "GetStats", bodies.statFrame, busy)],
      ["server stream short", times(streamLength, grpc(servers.short, "GetLogs", bodies.emptyFrame, few(3)))],
      ["server stream grpc-js", times(streamLength, grpc(servers.grpcJs, "GetLogs", bodies.emptyFrame, few(1)))],
      ["client stream short", times(usersPerStream, grpc(servers.short, "SyncUser", bodies.userFrames, few(25)))],
      ["client stream grpc-js", times(usersPerStream, grpc(servers.grpcJs, "SyncUser", bodies.userFrames, few(25)))],
      ["connect short", connect(servers.short)],
      ["connect stock", connect(servers.connectFastify)],
      ["rest derived", rest(servers.short, "/api/bare/items/a-7")],
      ["rest same work", rest(servers.fastify, "/api/bare/items/a-7")],
      ["rest bare", rest(servers.fastify, "/bare/a-7")],
    ]),
    rounds,
  );
  const value = (name: string) => median(measured.get(name) ?? []);
  for (const name of measured.keys())
    console.log(`${name.padEnd(24)}${Math.round(value(name)).toLocaleString("en").padStart(12)} /s`);
  console.log();
  const targets: [string, string, string, number][] = [
    ["unary gRPC, of grpc-js", "unary short", "unary grpc-js", 0.95],
    ["server streaming, of grpc-js", "server stream short", "server stream grpc-js", 3.5],
    ["client streaming, of grpc-js", "client stream short", "client stream grpc-js", 1.2],
    ["unary Connect over HTTP/1.1, of the stock handler", "connect short", "connect stock", 2.2],
    ["derived REST, of a hand-written route with its work", "rest derived", "rest same work", 0.7],
    ["derived REST, of a bare route", "rest derived", "rest bare", 0.4],
    ["unary gRPC, of the router", "unary short", "unary router", 0],
  ];
  for (const [about, ours, theirs, target] of targets) {
    const ratio = value(ours) / value(theirs);
    const missed = ratio < target;
    if (missed) process.exitCode = 1;
    const verdict = target === 0 ? "" : `  target ${target.toFixed(2)}  ${missed ? "MISSED" : "held"}`;
    console.log(`${about.padEnd(54)}${ratio.toFixed(2).padStart(6)}${verdict}`);
  }
}

function few(requests: number): Shape {
  return { clients: 1, parallel: 1, amount: { requests } };
}

function grpc({ port }: ChildServer, method: string, bodyFile: string, shape: Shape): Measurement {
  const headers = { "content-type": "application/grpc", te: "trailers", "x-api-key": key };
  return () => requestsPerSecond({ port, path: `/service.NodeService/${method}`, headers, bodyFile, ...shape });
}

function connect({ port }: ChildServer): Measurement {
  const headers = { "content-type": "application/proto", "x-api-key": key };
  const path = "/service.NodeService/GetStats";
  const bodyFile = bodies.statProto;
  return () =>
    requestsPerSecond({ port, path, headers, bodyFile, http1: true, clients: 32, parallel: 1, amount: { seconds } });
}

function rest({ port }: ChildServer, path: string): Measurement {
  const headers = { "x-api-key": key };
  return () => requestsPerSecond({ port, path, headers, http1: true, clients: 32, parallel: 1, amount: { seconds } });
}

function times(count: number, measure: Measurement): Measurement {
  return async () => count * (await measure());
}

function statRequest() {
  return create(StatRequestSchema, { name: "user-1234@example.org", type: 5 });
}

function userOf(index: number): Uint8Array {
  const id = `5c6f3b0e-2d39-4c5e-9d77-8a1f4f0a${index.toString(16).padStart(4, "0")}`;
  const proxies = { vless: { id, flow: "xtls-rprx-vision" }, vmess: { id } };
  return toBinary(
    UserSchema,
    create(UserSchema, { email: `user-${index}@example.org`, proxies, inbounds: ["vless-tcp", "vmess-ws"] }),
  );
}

function frame(message: Uint8Array): Uint8Array {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function file(name: string, bytes: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}
