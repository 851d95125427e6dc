import { Code, createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../../../gen/grpc/health/v1/health_pb.ts";
import { deadline } from "./deadline.ts";

const never = new Promise<never>(() => undefined);

const client = createClient(
  Health,
  createRouterTransport(
    (router) =>
      router.service(Health, {
        check: ({ service }) => (service === "stuck" ? never : { status: Status.SERVING }),
        async *watch({ service }) {
          yield { status: Status.SERVING };
          if (service === "stuck") await never;
        },
      }),
    { router: { interceptors: [deadline] } },
  ),
);

async function statuses(service: string, timeoutMs?: number): Promise<Status[]> {
  return Array.fromAsync(
    client.watch({ service }, timeoutMs === undefined ? {} : { timeoutMs }),
    ({ status }) => status,
  );
}

describe("the deadline of a call", () => {
  test("is answered though the handler does not look at it", async () => {
    await expect(client.check({ service: "stuck" }, { timeoutMs: 50 })).rejects.toMatchObject({
      code: Code.DeadlineExceeded,
    });
  });

  test("ends a stream whose handler is stuck", async () => {
    await expect(statuses("stuck", 50)).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  });

  test("does not touch calls that end before it, nor calls without one", async () => {
    expect(await client.check({}, { timeoutMs: 5_000 })).toMatchObject({ status: Status.SERVING });
    expect(await client.check({})).toMatchObject({ status: Status.SERVING });
    expect(await statuses("", 5_000)).toEqual([Status.SERVING]);
    expect(await statuses("")).toEqual([Status.SERVING]);
  });
});
