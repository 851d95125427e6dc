import { Writable } from "node:stream";
import { Code, ConnectError, createClient, createContextValues, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../../../gen/grpc/health/v1/health_pb.ts";
import { createLog, type LogLevel } from "../../telemetry/log.ts";
import { createMetrics } from "../../telemetry/metrics.ts";
import { PublicError } from "../public-error.ts";
import { observe } from "./observe.ts";

type Implementation = Parameters<typeof createRouterTransport>[0] extends never
  ? never
  : Partial<{
      check: () => { status: Status };
      watch: () => AsyncIterable<{ status: Status }>;
    }>;

function observed(implementation: Implementation, level: LogLevel = "debug") {
  const lines: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  const metrics = createMetrics("test");
  const interceptors = [observe(createLog("test", level, sink), metrics.calls)];
  const transport = createRouterTransport((router) => router.service(Health, implementation), {
    router: { interceptors },
  });
  const client = createClient(Health, transport);
  const counted = async (name: string) => (await metrics.registry.getSingleMetricAsString(name)).split("\n").slice(2);
  return { client, lines, counted };
}

describe("observing calls", () => {
  test("a success is counted, and logged at debug", async () => {
    const { client, lines, counted } = observed({ check: () => ({ status: Status.SERVING }) });
    await client.check({});
    expect(lines).toMatchObject([{ level: "debug", rpc: "grpc.health.v1.Health/Check", code: "ok" }]);
    expect(await counted("garrison_calls_total")).toEqual([
      'garrison_calls_total{service="grpc.health.v1.Health",method="Check",protocol="connect",code="ok",garrison_service="test"} 1',
    ]);
    expect(await counted("garrison_calls_in_flight")).toEqual(['garrison_calls_in_flight{garrison_service="test"} 0']);
  });

  test("a success is not logged at info", async () => {
    const { client, lines } = observed({ check: () => ({ status: Status.SERVING }) }, "info");
    await client.check({});
    expect(lines).toEqual([]);
  });

  test("an error for the caller is passed on, and logged at info without a stack", async () => {
    const { client, lines } = observed({
      check: () => {
        throw new PublicError("ask for something else", Code.NotFound);
      },
    });
    await expect(client.check({})).rejects.toMatchObject({ code: Code.NotFound, rawMessage: "ask for something else" });
    expect(lines).toMatchObject([{ level: "info", code: "not_found", error: "ask for something else" }]);
    expect(lines[0]).not.toHaveProperty("err");
  });

  test("an error that names a user is logged in its other words, without a stack", async () => {
    const { client, lines } = observed({
      check: () => {
        throw new PublicError("user 42 was refused", Code.Internal, { logged: "1 user was refused" });
      },
    });
    await expect(client.check({})).rejects.toMatchObject({ rawMessage: "user 42 was refused" });
    expect(lines).toMatchObject([{ level: "error", error: "1 user was refused" }]);
    expect(JSON.stringify(lines)).not.toContain("42 was");
  });

  test("any other error is logged with its cause and answered as internal", async () => {
    const { client, lines } = observed({
      check: () => {
        throw new Error("password hunter2 is wrong");
      },
    });
    await expect(client.check({})).rejects.toMatchObject({ code: Code.Internal, rawMessage: "internal error" });
    expect(lines).toMatchObject([{ level: "error", code: "internal", err: { message: "password hunter2 is wrong" } }]);
  });

  test("a stream is counted at its end, and its unknown error answered as internal", async () => {
    const { client, counted, lines } = observed({
      async *watch() {
        yield { status: Status.SERVING };
        throw new Error("broken inside");
      },
    });
    const seen: Status[] = [];
    const call = (async () => {
      for await (const { status } of client.watch({})) seen.push(status);
    })();
    await expect(call).rejects.toMatchObject({ code: Code.Internal, rawMessage: "internal error" });
    expect(seen).toEqual([Status.SERVING]);
    expect(lines).toHaveLength(1);
    expect((await counted("garrison_calls_total"))[0]).toMatch(/method="Watch".*code="internal".* 1$/);
  });

  test("a stream that the caller leaves is counted once", async () => {
    const { client, counted } = observed({
      async *watch() {
        while (true) yield { status: Status.SERVING };
      },
    });
    const leave = new AbortController();
    const call = (async () => {
      for await (const _ of client.watch({}, { signal: leave.signal, contextValues: createContextValues() }))
        leave.abort();
    })();
    await expect(call).rejects.toBeInstanceOf(ConnectError);
    await expect
      .poll(() => counted("garrison_calls_in_flight"))
      .toEqual(['garrison_calls_in_flight{garrison_service="test"} 0']);
    expect(await counted("garrison_calls_total")).toHaveLength(1);
  });
});
