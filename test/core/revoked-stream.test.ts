import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CoreUnderTest, serveCore } from "./core-under-test.ts";
import { engines, type SharedDatabase, shareDatabase } from "./shared-database.ts";

describe.each(engines)("a stream of configs on %s", (engine) => {
  const clock = { now: Date.now() };
  let shared: SharedDatabase;
  let core: CoreUnderTest;
  let operator: string;
  beforeAll(async () => {
    shared = await shareDatabase(engine);
    core = await serveCore(shared, clock);
    operator = `authorization: Bearer ${await core.operator("*")}`;
  });
  afterAll(async () => {
    await core.close();
    await shared.close();
  });

  const watch = async (key: string) => {
    const events = core.agent("grpc", key).watchConfig({ deltas: true })[Symbol.asyncIterator]();
    await events.next();
    return events;
  };

  test.each([
    ["its keys are revoked", "POST", ":revokeKeys"],
    ["the node is deleted", "DELETE", "?force=true"],
  ])("ends at once when %s; others stay open", async (what, method, action) => {
    const [node, other] = [await core.enrol(`of ${what}`), await core.enrol(`other of ${what}`)];
    const [mine, others] = [await watch(node.key), await watch(other.key)];
    const next = mine.next();
    const answer = await fetch(`${core.url}/api/v1/nodes/${node.nodeId}${action}`, {
      ...{
        method,
        headers: { authorization: operator.slice("authorization: ".length), "content-type": "application/json" },
      },
      ...(method === "POST" && { body: "{}" }),
    });
    expect(answer.status).toBe(200);
    let event = await next;
    // What was on its way before may still arrive.
    while (event.done !== true) event = await mine.next();
    await expect(watch(node.key)).rejects.toThrow(/unauthenticated/);
    const silent = new Promise((resolve) => setTimeout(resolve, 200, "open"));
    expect(await Promise.race([others.next().then(({ done }) => (done ? "ended" : "open")), silent])).toBe("open");
    await others.return?.();
  });

  test("who waits for a newer config is refused when its key is revoked meanwhile", async () => {
    const node = await core.enrol("who waits");
    const path = "/node/config/latest";
    await expect
      .poll(
        async () => {
          clock.now += 1_000; // changes are collected for a while
          return (await core.curl(path, undefined, `x-node-auth-key: ${node.key}`)).status;
        },
        { timeout: 10_000 },
      )
      .toBe(200);
    const waiting = core.curl(`${path}?wait=30`, undefined, `x-node-auth-key: ${node.key}`, "if-none-match: *");
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await core.curl(`/api/v1/nodes/${node.nodeId}:revokeKeys`, "{}", operator)).status).toBe(200);
    const { status, text } = await waiting;
    expect({ status, code: JSON.parse(text).code }).toEqual({ status: 401, code: "KEY_REVOKED" });
  });
});
