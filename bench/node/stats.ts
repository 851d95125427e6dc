import { create, toBinary } from "@bufbuild/protobuf";
import { StatResponseSchema, StatType } from "../../gen/service/node_pb.ts";
import { openVless, untilAdmitted } from "../../test/support/vless-client.ts";
import { requestsPerSecond } from "../h2load.ts";
import { median, quantile } from "../rounds.ts";
import { startCaller } from "./caller.ts";
import { idOf, users } from "./made-users.ts";
import { configOf, startNodeUnderTest } from "./node-under-test.ts";
import { report } from "./report.ts";
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
    const caller = await startCaller(node);
    const { config, ports, tags } = await configOf(1);
    await (await caller.prepare({ call: "start", config, users: [{ count, tags }] })).send();
    const way = { inboundPort: ports[0] ?? 0, targetPort: ticker.port };
    for (let from = 0; from < count; from += 2_000) {
      const active = Array.from({ length: 100 }, (_, index) => untilAdmitted(openVless(way, idOf(from + 20 * index))));
      for (const socket of await Promise.all(active)) socket.destroy();
    }
    const { stats } = await node.client.getStats({ type: StatType.UsersStat });
    const read = await caller.prepare({ call: "usersStat" });
    const before = await node.measures();
    const took: number[] = [];
    for (let count = 0; count < reads; count += 1) took.push(await read.send());
    const after = await node.measures();
    const label = `UsersStat of ${count.toLocaleString("en")} users`;
    const value = median(took);
    const reference = fewer === undefined ? {} : { reference: { about: "10,000", value: fewer } };
    report({ about: `${label}, median`, value, unit: "ms", ...(atMost !== undefined && { atMost }), ...reference });
    const worst = quantile(took, 0.99);
    const worstLimit = atMostWorst !== undefined && { atMost: atMostWorst };
    report({ about: `${label}, p99`, value: worst, unit: "ms", ...worstLimit });
    const processorMs = (after.processorMs - before.processorMs) / reads;
    const middle = { about: "the median", value };
    report({ about: `${label}: the node's processor time`, value: processorMs, unit: "ms", reference: middle });
    const bytes = toBinary(StatResponseSchema, create(StatResponseSchema, { stats })).length;
    report({ about: `${label}: reply`, value: bytes, unit: "bytes" });
    const stallMs = after.longestStallMs;
    report({ about: `${label}: longest stall of the event loop`, value: stallMs, unit: "ms", atMost: 20 });
    fewer ??= value;
    await caller.close();
    await node.close();
  }
}

/** Calls per second of 16 callers over gRPC. */
export async function measureCalls(emptyFrame: string): Promise<void> {
  const node = await startNodeUnderTest();
  const { config, tags } = await configOf(1);
  await node.client.start({ config, users: users({ count: 100, tags }) });
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
  // What the Go node 0.5.2 had where it was measured; there is none here to be measured beside.
  report({ about: "GetBaseInfo, 16 callers over gRPC", value: info, unit: "calls/s", atLeast: 13_000 });
  const reference = { about: "GetBaseInfo", value: info };
  report({ about: "GetBackendStats, 16 callers over gRPC", value: stats, unit: "calls/s", atLeast: 4_800, reference });
  await node.close();
}
