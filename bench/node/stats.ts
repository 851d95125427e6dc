import { toBinary } from "@bufbuild/protobuf";
import { StatResponseSchema, StatType } from "../../gen/service/node_pb.ts";
import { openVless, untilAdmitted } from "../../test/support/vless-client.ts";
import { requestsPerSecond } from "../h2load.ts";
import { median, quantile } from "../rounds.ts";
import { configOf, idOf, startNodeUnderTest, users } from "./node-under-test.ts";
import { report, timed } from "./report.ts";
import type { Ticker } from "./vless.ts";

const reads = 40;

/** Reading the counters of all users, of whom one in twenty was active. */
export async function measureUsersStat(ticker: Ticker): Promise<void> {
  let fewer: number | undefined;
  for (const [count, atMost, atMostWorst] of [
    [10_000, undefined, undefined],
    [50_000, 8, 15],
  ] as const) {
    const node = await startNodeUnderTest();
    const { config, ports, tags } = await configOf(1);
    await node.client.start({ config, users: users(count, tags) });
    const way = { inboundPort: ports[0] ?? 0, targetPort: ticker.port };
    for (let from = 0; from < count; from += 2_000) {
      const active = Array.from({ length: 100 }, (_, index) => untilAdmitted(openVless(way, idOf(from + 20 * index))));
      for (const socket of await Promise.all(active)) socket.destroy();
    }
    const read = () => node.client.getStats({ type: StatType.UsersStat });
    const first = await read();
    await node.metrics(); // the lag is that since it was read last
    const took: number[] = [];
    for (let count = 0; count < reads; count += 1) took.push((await timed(read)).ms);
    const lag = (await node.metrics()).get('nodejs_eventloop_lag_max_seconds{garrison_service="node"}') ?? Number.NaN;
    const label = `UsersStat of ${count.toLocaleString("en")} users`;
    const value = median(took);
    const reference = fewer === undefined ? {} : { reference: { about: "10,000", value: fewer } };
    report({ about: `${label}, median`, value, unit: "ms", ...(atMost !== undefined && { atMost }), ...reference });
    const worst = quantile(took, 0.99);
    report({
      about: `${label}, p99`,
      value: worst,
      unit: "ms",
      ...(atMostWorst !== undefined && { atMost: atMostWorst }),
    });
    report({ about: `${label}: reply`, value: toBinary(StatResponseSchema, first).length, unit: "bytes" });
    report({ about: `${label}: longest stall of the event loop`, value: lag * 1_000, unit: "ms", atMost: 20 });
    fewer ??= value;
    await node.close();
  }
}

/** Calls per second of 16 callers over gRPC. */
export async function measureCalls(emptyFrame: string): Promise<void> {
  const node = await startNodeUnderTest();
  const { config, tags } = await configOf(1);
  await node.client.start({ config, users: users(100, tags) });
  const rate = (method: string) =>
    requestsPerSecond({
      port: Number(new URL(node.url).port),
      path: `/service.NodeService/${method}`,
      headers: { "content-type": "application/grpc", te: "trailers", "x-api-key": node.key },
      bodyFile: emptyFrame,
      clients: 16,
      parallel: 1,
      amount: { seconds: 3 },
    });
  for (const method of ["GetBaseInfo", "GetBackendStats"]) await rate(method); // until code is compiled
  const info = await rate("GetBaseInfo");
  const stats = await rate("GetBackendStats");
  report({ about: "GetBaseInfo, 16 callers over gRPC", value: info, unit: "calls/s" });
  const reference = { about: "GetBaseInfo", value: info };
  report({ about: "GetBackendStats, 16 callers over gRPC", value: stats, unit: "calls/s", reference });
  await node.close();
}
