import { Code, createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../../gen/grpc/health/v1/health_pb.ts";
import { createHealthState, serveHealth } from "./health.ts";

function served() {
  const state = createHealthState();
  const { methods } = serveHealth(state, [Health]);
  const transport = createRouterTransport((router) => {
    for (const { method, impl } of methods) router.rpc(method, impl);
  });
  return { state, client: createClient(Health, transport) };
}

describe("health", () => {
  test("Check tells the state of the process and of each service", async () => {
    const { state, client } = served();
    for (const service of ["", "grpc.health.v1.Health"]) {
      expect(await client.check({ service })).toMatchObject({ status: Status.SERVING });
    }
    state.set(false);
    expect(await client.check({})).toMatchObject({ status: Status.NOT_SERVING });
  });

  test("Check of an unknown service is NotFound", async () => {
    await expect(served().client.check({ service: "nobody" })).rejects.toMatchObject({ code: Code.NotFound });
  });

  test("List names all services", async () => {
    const { statuses } = await served().client.list({});
    expect(Object.keys(statuses)).toEqual(["", "grpc.health.v1.Health"]);
  });

  test("Watch tells every change, and of an unknown service that it is unknown", async () => {
    const { state, client } = served();
    const leave = new AbortController();
    const seen: Status[] = [];
    const watching = (async () => {
      for await (const { status } of client.watch({}, { signal: leave.signal })) seen.push(status);
    })();
    await expect.poll(() => seen).toEqual([Status.SERVING]);
    state.set(false);
    await expect.poll(() => seen).toEqual([Status.SERVING, Status.NOT_SERVING]);
    leave.abort();
    await expect(watching).rejects.toMatchObject({ code: Code.Canceled });
    const first = await client.watch({ service: "nobody" })[Symbol.asyncIterator]().next();
    expect(first.value).toMatchObject({ status: Status.SERVICE_UNKNOWN });
  });
});
