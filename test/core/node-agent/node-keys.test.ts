import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test, vi } from "vitest";
import { rpcWays } from "../core-under-test.ts";
import { describeScene } from "../scene.ts";
import { openNodeAgentScene, refusalOf } from "./scene.ts";

describeScene("a node's key", openNodeAgentScene, (scene, engine) => {
  test.each(rpcWays)("is replaced over %s: both are valid until the new one is used", async (way) => {
    const { core } = scene;
    const { key } = await core.enrol(`rotate-${way}`);
    const { authKey, oldKeyEndsAtMs } = await core.agent(way, key).rotateKey({});
    expect(oldKeyEndsAtMs).toBe(BigInt(scene.clock.now + 86_400_000));
    expect((await scene.beat(key)).status).toBe(200);
    expect((await scene.beat(authKey, {}, scene.replica)).status).toBe(200);
    await expect(core.agent(way, authKey).heartbeat({})).resolves.toMatchObject({ ok: true });
    if (engine === "postgres")
      await vi.waitFor(async () =>
        expect(refusalOf(await scene.beat(key))).toEqual({ status: 401, code: "KEY_REVOKED" }),
      );
    // Replicas over SQLite are in one process at most, where events reach all; here they are two.
    else scene.clock.now += 30_000;
    expect(refusalOf(await scene.beat(key))).toEqual({ status: 401, code: "KEY_REVOKED" });
  });

  test("that is wrong, missing or another's opens nothing, over any protocol", async () => {
    for (const wrong of ["", "nk_", `nk_${"x".repeat(43)}`, scene.key]) {
      expect(refusalOf(await scene.beat(wrong))).toEqual({ status: 401, code: "AUTH_INVALID" });
      for (const way of rpcWays) {
        const failure = await scene.core.agent(way, wrong).heartbeat({}).catch(ConnectError.from);
        expect(failure).toMatchObject({ code: Code.Unauthenticated });
      }
    }
  });

  test("is taken as Authorization: Bearer where there is no header of its own", async () => {
    const { core } = scene;
    const { key } = await core.enrol("bearer");
    const { status } = await core.curl("/node/heartbeat", "{}", `authorization: Bearer ${key}`);
    expect(status).toBe(200);
    const both = await core.curl("/node/heartbeat", "{}", `authorization: Bearer ${key}`, "x-node-auth-key: nk_wrong");
    expect(refusalOf(both)).toEqual({ status: 401, code: "AUTH_INVALID" });
  });

  test("of a node does not open what operators see, and theirs does", async () => {
    const { core } = scene;
    const { key } = await core.enrol("curious");
    const asNode = await core.curl("/openapi.json", undefined, `x-node-auth-key: ${key}`);
    const asOperator = await core.curl("/openapi.json", undefined, `authorization: Bearer ${await core.operator()}`);
    expect(refusalOf(asNode)).toEqual({ status: 401, code: "AUTH_INVALID" });
    expect(asOperator.status).toBe(200);
    expect(refusalOf(await core.curl("/metrics"))).toEqual({ status: 401, code: "AUTH_INVALID" });
    expect(refusalOf(await core.curl("/no/such/path"))).toEqual({ status: 401, code: "AUTH_INVALID" });
    const newer = ["/node/newer", "/garrison.core.v1.NodeAgentService/Newer"];
    for (const path of newer) expect((await core.curl(path, "{}", `x-node-auth-key: ${key}`)).status).toBe(404);
  });

  test("of an operator is no node's", async () => {
    const answer = await scene.core.curl("/node/heartbeat", "{}", `authorization: Bearer ${scene.key}`);
    expect(refusalOf(answer)).toEqual({ status: 401, code: "AUTH_INVALID" });
  });

  test("who guesses keys is made to wait, and the right one passes all the same", async () => {
    const { key } = await scene.core.enrol("patient");
    const guess = (way: (typeof rpcWays)[number]) =>
      scene.core
        .agent(way, `nk_${"y".repeat(43)}`)
        .heartbeat({})
        .then(() => undefined, ConnectError.from);
    scene.clock.now += 3_600_000; // earlier guesses are forgiven
    const codes: (Code | undefined)[] = [];
    for (let i = 0; i < 102; i += 1) codes.push((await guess("connect"))?.code);
    const { Unauthenticated, ResourceExhausted } = Code;
    expect(codes).toEqual([...Array(100).fill(Unauthenticated), ResourceExhausted, ResourceExhausted]);
    for (const way of rpcWays) expect([way, (await guess(way))?.metadata.get("retry-after")]).toEqual([way, "1"]);
    expect((await scene.beat(key)).status).toBe(200);
  });
});
