import { expect, test } from "vitest";
import { NodeService } from "../../gen/garrison/core/v1/nodes_pb.ts";
import { describeScene, openCoreScene } from "./scene.ts";

describeScene("a stream of configs", openCoreScene, (scene) => {
  const watch = async (key: string) => {
    const events = scene.core.agent("grpc", key).watchConfig({ deltas: true })[Symbol.asyncIterator]();
    await events.next();
    return events;
  };

  test.each<[string, (id: bigint) => Promise<unknown>]>([
    ["its keys are revoked", (id) => scene.call(NodeService.method.revokeNodeKeys, { id })],
    ["the node is deleted", (id) => scene.call(NodeService.method.deleteNode, { id, force: true })],
  ])("ends at once when %s; others stay open", async (what, act) => {
    const { core } = scene;
    const [node, other] = [await core.enrol(`of ${what}`), await core.enrol(`other of ${what}`)];
    const [mine, others] = [await watch(node.key), await watch(other.key)];
    const next = mine.next();
    await act(BigInt(node.nodeId));
    let event = await next;
    // What was on its way before may still arrive.
    while (event.done !== true) event = await mine.next();
    await expect(watch(node.key)).rejects.toThrow(/unauthenticated/);
    const silent = new Promise((resolve) => setTimeout(resolve, 200, "open"));
    expect(await Promise.race([others.next().then(({ done }) => (done ? "ended" : "open")), silent])).toBe("open");
    await others.return?.();
  });

  test("who waits for a newer config is refused when its key is revoked meanwhile", async () => {
    const { core, clock } = scene;
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
    await scene.call(NodeService.method.revokeNodeKeys, { id: BigInt(node.nodeId) });
    const { status, text } = await waiting;
    expect({ status, code: JSON.parse(text).code }).toEqual({ status: 401, code: "KEY_REVOKED" });
  });
});
