import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Code, createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../../../gen/grpc/health/v1/health_pb.ts";
import { deadline } from "./deadline.ts";

const never = new Promise<never>(() => undefined);

const busyMessages = 50_000;

const client = createClient(
  Health,
  createRouterTransport(
    (router) =>
      router.service(Health, {
        check: ({ service }) => (service === "stuck" ? never : { status: Status.SERVING }),
        async *watch({ service }) {
          yield { status: Status.SERVING };
          for (let count = 1; service === "busy" && count < busyMessages; count += 1) yield { status: Status.SERVING };
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

  test("keeps nothing of the messages that a long stream has passed on", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void; // what the flag has exposed
    const used = () => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    let [seen, before, after] = [0, 0, 0];
    for await (const _ of client.watch({ service: "busy" }, { timeoutMs: 60_000 })) {
      seen += 1;
      if (seen === 1_000) before = used();
      if (seen === busyMessages) after = used();
    }
    expect(seen).toBe(busyMessages);
    expect((after - before) / (busyMessages - 1_000)).toBeLessThan(50); // bytes per message
  });
});
