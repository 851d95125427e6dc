// Compares the transport with its peers in one run: the server on one processor, the load on the other, all in turns.
// Prints medians and ratios beside their targets; exits with 1 when a target is missed.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { StatRequestSchema, UserSchema } from "../../gen/service/node_pb.ts";
import { type ChildServer, keepLoadCoreAwake, moveToLoadCore, startServer } from "../child-server.ts";
import { prepareBody, upload } from "../h2-upload.ts";
import { type Load, requestsPerSecond } from "../h2load.ts";
import { compare, type Measurement } from "../rounds.ts";
import { key, streamLength } from "./bench-service.ts";
import { checkAnswers } from "./check-answers.ts";

// Runs what has this in its name: everything by default.
const only = process.argv[2] ?? "";
const warmUps = 3;
const rounds = 5;
const seconds = 2;
const usersPerStream = 10_000;
const uploadsPerRound = 20;
const grpcHeaders = { "content-type": "application/grpc", te: "trailers", "x-api-key": key };

type Shape = Pick<Load, "clients" | "parallel" | "amount">;

const busy: Shape = { clients: 4, parallel: 32, amount: { seconds } };
// As panels call: each waits for its answer before it asks again.
const patient: Shape = { clients: 16, parallel: 1, amount: { seconds } };
const directory = mkdtempSync(join(tmpdir(), "garrison-bench-"));
process.once("exit", () => rmSync(directory, { recursive: true }));
const bodies = {
  statProto: file("stat.bin", toBinary(StatRequestSchema, statRequest())),
  statFrame: file("stat.frame", frame(toBinary(StatRequestSchema, statRequest()))),
  emptyFrame: file("empty.frame", frame(new Uint8Array())),
};

const users = prepareBody(Array.from({ length: usersPerStream }, (_, index) => frame(userOf(index))));

const script = (name: string) => new URL(name, import.meta.url).pathname;
const servers = {
  short: await startServer(script("serve-garrison.ts"), ["short"]),
  router: await startServer(script("serve-garrison.ts"), ["router"]),
  grpcJs: await startServer(script("serve-grpc-js.ts")),
  connectFastify: await startServer(script("serve-connect-fastify.ts")),
  fastify: await startServer(script("serve-fastify.ts")),
  bare: await startServer(script("serve-bare.ts")),
};
moveToLoadCore(); // the uploads are sent from here
const awake = keepLoadCoreAwake();
try {
  await checkAnswers(servers);
  await main();
} finally {
  awake.close();
  await Promise.all(Object.values(servers).map((server) => server.close()));
}

async function main(): Promise<void> {
  const { short, router, grpcJs, connectFastify, fastify, bare } = servers;
  const unary = (server: ChildServer) => grpc(server, "GetStats", bodies.statFrame, busy);
  const oneByOne = (server: ChildServer) => grpc(server, "GetStats", bodies.statFrame, patient);
  const lines = (server: ChildServer, calls: number) =>
    times(streamLength, grpc(server, "GetLogs", bodies.emptyFrame, few(calls)));
  await report("unary gRPC, of grpc-js", 0.95, unary(short), unary(grpcJs));
  await report("unary gRPC, of the router", undefined, unary(short), unary(router));
  await report("unary gRPC one by one, of grpc-js", undefined, oneByOne(short), oneByOne(grpcJs));
  await report("unary gRPC one by one, of Node's bare HTTP/2", undefined, oneByOne(short), oneByOne(bare));
  await report("server streaming, of grpc-js", 3.5, lines(short, 3), lines(grpcJs, 1));
  await report("client streaming, of grpc-js", 1.2, uploads(short), uploads(grpcJs));
  await report("unary Connect over HTTP/1.1, of the stock handler", 2.2, connect(short), connect(connectFastify));
  const derived = rest(short, "/api/bare/items/a-7");
  await report(
    "derived REST, of a hand-written route with its work",
    0.7,
    derived,
    rest(fastify, "/api/bare/items/a-7"),
  );
  await report("derived REST, of a bare route", 0.4, derived, rest(fastify, "/bare/a-7"));
}

/** Prints how one compares to the other, if that is asked for. Below its target the run fails. */
async function report(about: string, target: number | undefined, one: Measurement, other: Measurement): Promise<void> {
  if (!about.includes(only)) return;
  const { ours, theirs, ratio } = await compare(one, other, { warmUps, rounds });
  const missed = target !== undefined && ratio < target;
  if (missed) process.exitCode = 1;
  const rate = (value: number) => Math.round(value).toLocaleString("en").padStart(9);
  const verdict = target === undefined ? "" : `  target ${target.toFixed(2)}  ${missed ? "MISSED" : "held"}`;
  console.log(`${about.padEnd(54)}${rate(ours)} /s ${rate(theirs)} /s${ratio.toFixed(2).padStart(7)}${verdict}`);
}

function few(requests: number): Shape {
  return { clients: 1, parallel: 1, amount: { requests } };
}

function grpc({ port }: ChildServer, method: string, bodyFile: string, shape: Shape): Measurement {
  const path = `/service.NodeService/${method}`;
  return () => requestsPerSecond({ port, path, headers: grpcHeaders, bodyFile, ...shape });
}

function uploads({ port }: ChildServer): Measurement {
  return async () => {
    const startedAt = performance.now();
    for (let count = 0; count < uploadsPerRound; count += 1) {
      await upload(port, "/service.NodeService/SyncUser", grpcHeaders, users);
    }
    return (1000 * uploadsPerRound * usersPerStream) / (performance.now() - startedAt);
  };
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
