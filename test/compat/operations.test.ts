import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, userOf } from "../support/proxy-protocols.ts";
import { type CompatNode, startNode } from "./harness.ts";

let node: CompatNode;
const email = "somebody-77@example.org";

beforeAll(async () => {
  node = await startNode();
  await node.grpc.start({ config: nodeConfig(await freePorts(4)), users: [userOf(email, "vless")] });
  await node.grpc.syncUsers({ users: [userOf(email, "vless", "trojan")] });
});
afterAll(() => node.close());

async function get(path: string): Promise<string> {
  const { status, body } = await node.request("GET", path);
  expect(status).toBe(200);
  return body.toString();
}

describe("what those who operate a node see", () => {
  it("metrics count the calls, and carry no e-mail, address or key", async () => {
    const text = await get("/metrics");
    expect(text).toMatch(/garrison_calls_total\{.*method="SyncUsers",protocol="grpc",code="ok".*\} 1/);
    for (const secret of [email, "77", node.key, "127.0.0.1"]) expect(text).not.toContain(`${secret}"`);
  });

  it("metrics count what is asked of the engine: an unchanged user nothing, a new one a call for each inbound", async () => {
    const changes = async () =>
      Number(/engine_calls_total\{method="AlterInbound".*\} (\d+)/.exec(await get("/metrics"))?.[1]);
    const users = [userOf(email, "vless", "trojan")];
    await node.grpc.syncUsers({ users });
    const before = await changes();
    await node.grpc.syncUsers({ users });
    expect(await changes()).toBe(before);
    await node.grpc.syncUsers({ users: [...users, userOf("new", "vless", "trojan")] });
    expect(await changes()).toBe(before + 2);
  });

  it("the log names no user and no key", () => {
    expect(node.log()).not.toBe("");
    expect(node.log()).not.toContain(email);
    expect(node.log()).not.toContain(node.key);
  });

  it("/openapi.json describes the REST routes in the contract's own words", async () => {
    const { info, paths, components } = JSON.parse(await get("/openapi.json"));
    expect(info).toMatchObject({ title: "Garrison node", version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
    expect(paths["/users/sync"].put).toMatchObject({ description: expect.stringContaining("whole set of users") });
    expect(paths["/service.NodeService/Start"].post).toBeDefined();
    expect(Object.keys(components.securitySchemes)).toEqual(["key", "bearer"]);
  });
});
