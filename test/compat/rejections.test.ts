import { readFile } from "node:fs/promises";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { User } from "../../gen/service/node_pb.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { engineOf } from "../support/child-processes.ts";
import type { NodeCaller } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { admitted } from "../support/users-online.ts";
import { type CompatNode, failureOf, startNode } from "./harness.ts";

// Xray refuses a user whose e-mail differs from another's in nothing but case. The client that panels use splits a batch
// that was rejected until such a user is alone, so what counts as a rejection must be one, and nothing else be taken for it.

let node: CompatNode;
let target: ByteTarget;
let ports: number[];
const resident = userOf("Resident", "vless");
const refused = userOf("RESIDENT", "vless");
const over: [string, () => NodeCaller][] = [
  ["gRPC", () => node.grpc],
  ["REST", () => node.rest],
];

beforeAll(async () => {
  [node, target, ports] = await Promise.all([startNode(), startByteTarget(), freePorts(4)]);
});
beforeEach(() => node.grpc.start({ config: nodeConfig(ports), users: [resident] }));
afterAll(() => Promise.all([node.close(), target.close()]));

async function through(...users: User[]): Promise<boolean[]> {
  const [protocol] = proxyProtocols;
  if (protocol === undefined) throw new Error("no protocol");
  return admitted(
    users.map((user) => ({ protocol, port: ports[0] ?? 0, user })),
    target,
  );
}

const many = () => Array.from({ length: 99 }, (_, index) => userOf(String(index), "vless"));
const reserved = ["backend not initialized\n", "backend is not started\n"];

async function expectRejection(call: Promise<unknown>) {
  const { code, status, text } = await failureOf(call);
  expect(text).toMatch(/^failed to update users/);
  expect(text).toContain("User Resident already exists.");
  expect(status ?? code).toBe(status === undefined ? Code.Internal : 500);
  expect(reserved).not.toContain(text);
}

async function expectNoRejection(call: Promise<unknown>) {
  const { code, status, text } = await failureOf(call);
  expect(text).not.toMatch(/failed to update users|user sync failed/);
  expect(status ?? code).toBe(status === undefined ? Code.Unavailable : 503);
}

describe.each(over)("a user whom Xray refuses, over %s", (_, caller) => {
  it("84. and 85. of 100 in one chunk is told as a rejection, and the 99 others are live", async () => {
    const engine = await engineOf(node.pid);
    const users = many();
    await expectRejection(
      caller().syncChunked({ last: true, users: [...users.slice(0, 50), refused, ...users.slice(50)] }),
    );
    const [first = resident, last = resident] = [users[0], users.at(-1)];
    expect(await through(resident, first, last, refused)).toEqual([true, true, true, false]);
    // The rest of the batch, as the client repeats it without the one it has found.
    await caller().syncChunked({ last: true, users });
    expect(await engineOf(node.pid)).toBe(engine);
  });

  it("84. and 85. is told the same way by the other calls that set users", async () => {
    const other = userOf("other", "vless");
    await expectRejection(caller().syncUsers({ users: [resident, refused, other] }));
    expect(await through(resident, refused, other)).toEqual([true, false, true]);
    const { code, status, text } = await failureOf(caller().syncUser(refused));
    expect(text).toMatch(/^failed to update user/);
    expect(status ?? code).toBe(status === undefined ? Code.Internal : 500);
  });

  it("86. and 98. is taken once it is corrected, and its removal always is", async () => {
    await expectRejection(caller().syncChunked({ last: true, users: [refused] }));
    await caller().syncChunked({ last: true, users: [{ ...refused, inbounds: [] }] });
    expect(await through(resident)).toEqual([true]);
    const corrected = { ...refused, email: "corrected" };
    await caller().syncChunked({ last: true, users: [corrected] });
    expect(await through(resident, corrected)).toEqual([true, true]);
    await expectRejection(caller().syncChunked({ last: true, users: [refused] }));
    await caller().syncUsers({ users: [resident, corrected] });
    const next = userOf("next", "vless");
    await caller().syncChunked({ last: true, users: [next] });
    expect(await through(resident, corrected, next)).toEqual([true, true, true]);
  });

  it("88. an engine that does not answer is not told as a rejection, whoever is in the batch", async () => {
    const engine = await engineOf(node.pid);
    const next = userOf("next", "vless");
    process.kill(engine, "SIGSTOP");
    await expect.poll(() => readFile(`/proc/${engine}/stat`, "utf8")).toMatch(/\) T /);
    try {
      await expectNoRejection(caller().syncChunked({ last: true, users: [refused, next] }));
    } finally {
      process.kill(engine, "SIGCONT");
    }
    // What was asked for is what comes about in the end.
    await expect
      .poll(
        () =>
          caller()
            .syncUsers({ users: [resident, next] })
            .then(() => "done", String),
        { timeout: 20_000 },
      )
      .toBe("done");
    expect(await through(resident, next)).toEqual([true, true]);
  }, 60_000);
});
