import { connect, type TLSSocket } from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { StatRequestSchema, StatType } from "../../gen/service/node_pb.ts";
import { cancel, frame, framesOf, head, http2Hello, pong } from "../listener/frames.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { admitted } from "../support/users-online.ts";
import { type CompatNode, startNode } from "./harness.ts";

// A client that cancels GetStats with reset while its reply is on the line, and keeps its connection. No library lets a
// test do that at a moment of its choice: this client writes its frames by hand.

let node: CompatNode;
let target: ByteTarget;
let ports: number[];
const user = userOf("42", "vless");

beforeAll(async () => {
  [node, target, ports] = await Promise.all([startNode(), startByteTarget(), freePorts(4)]);
  await node.grpc.start({ config: nodeConfig(ports), users: [user] });
});
afterAll(() => Promise.all([node.close(), target.close()]));

async function carry(bytes: number): Promise<bigint> {
  const [protocol] = proxyProtocols;
  if (protocol === undefined) throw new Error("no protocol");
  const online = await admitted([{ protocol, port: ports[0] ?? 0, user }], target, { up: bytes, down: bytes });
  expect(online).toEqual([true]);
  return BigInt(2 * bytes);
}

/** Bytes that nobody has taken, as somebody sees them who takes none. */
async function unread(): Promise<bigint> {
  const { stats } = await node.grpc.stats({ type: StatType.UsersStat });
  return stats.reduce((sum, { value }) => sum + value, 0n);
}
const becomes = (bytes: bigint) =>
  vi.waitFor(async () => expect(await unread()).toBe(bytes), { timeout: 5_000, interval: 20 });

const query = Buffer.from(
  toBinary(StatRequestSchema, create(StatRequestSchema, { type: StatType.UsersStat, reset: true })),
);
const calls: [name: string, fields: Record<string, string>, body: Buffer][] = [
  [
    "gRPC",
    { ":method": "POST", ":path": "/service.NodeService/GetStats", "content-type": "application/grpc", te: "trailers" },
    Buffer.concat([Buffer.from([0, 0, 0, 0, query.length]), query]),
  ],
  ["REST", { ":method": "GET", ":path": "/stats", "content-type": "application/x-protobuf" }, query],
];

describe.each(calls)("GetStats with reset over %s, cancelled on a connection that goes on", (_, fields, body) => {
  /** Calls, and answers what is needed to acknowledge the reply, which has arrived. */
  async function read(): Promise<{ socket: TLSSocket; acknowledgement: Buffer }> {
    const { hostname, port } = new URL(node.url);
    const socket = connect({ host: hostname, port: Number(port), ca: node.ca, ALPNProtocols: ["h2"] });
    onTestFinished(() => void socket.destroy());
    let received: Buffer = Buffer.alloc(0);
    socket.on("data", (piece: Buffer) => {
      received = Buffer.concat([received, piece]);
    });
    socket.on("error", () => undefined);
    const all = { ":scheme": "https", ":authority": "node", ...fields, "x-api-key": node.key };
    socket.write(Buffer.concat([http2Hello, frame(4, 1, 0), head(1, all, false), frame(0, 1, 1, body)]));
    return vi.waitFor(() => {
      const frames = framesOf(received);
      expect(frames.some(({ stream, type, flags }) => stream === 1 && type < 2 && flags & 1)).toBe(true);
      const ping = frames.find(({ type }) => type === 6);
      return { socket, acknowledgement: pong(ping?.payload ?? expect.fail()) };
    });
  }

  it("the bytes are told once more when it is cancelled before it is acknowledged", async () => {
    const carried = await carry(10_000);
    const { socket, acknowledgement } = await read();
    expect(await unread()).toBe(0n);
    socket.write(cancel(1));
    await becomes(carried);
    socket.write(acknowledgement);
    expect(await unread()).toBe(carried);
    const again = await read();
    again.socket.write(again.acknowledgement);
    socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await unread()).toBe(0n);
  });

  it("the bytes are told no more once the reply is acknowledged, though it is cancelled and cut then", async () => {
    await carry(10_000);
    const { socket, acknowledgement } = await read();
    socket.write(Buffer.concat([acknowledgement, cancel(1)]));
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await unread()).toBe(0n);
  });

  it("the bytes are told once more when the connection is cut before the acknowledgement", async () => {
    const carried = await carry(10_000);
    const { socket } = await read();
    socket.destroy();
    await becomes(carried);
    const again = await read();
    again.socket.write(again.acknowledgement);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await unread()).toBe(0n);
  });
});
