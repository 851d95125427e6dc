// The same calls as the product's server, on @grpc/grpc-js and protobufjs, with the same work around them.
import { once } from "node:events";
import { performance } from "node:perf_hooks";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { isKey, logLine, statsOf, streamLength } from "./bench-service.ts";

const root = new URL("../..", import.meta.url).pathname;
const contract = loadSync("service/node.proto", { includeDirs: [`${root}proto`, `${root}third_party`] });
const service = contract["service.NodeService"] as grpc.ServiceDefinition; // a definition with methods is a service
const log = createLog("bench", "warn");
const { calls } = createMetrics("bench");
const refused = { code: grpc.status.UNAUTHENTICATED, details: "no key: send x-api-key" };

type Begin = { metadata: grpc.Metadata };

/** Opens a call: checks its key, and returns what counts and logs its end. Undefined: refused. */
function open(method: string, { metadata }: Begin): (() => void) | undefined {
  if (!isKey(metadata.get("x-api-key")[0]?.toString())) return undefined;
  const startedAt = performance.now();
  calls.started();
  return () => {
    const seconds = (performance.now() - startedAt) / 1000;
    const labels = { service: "service.NodeService", method, protocol: "grpc", code: "ok" };
    calls.ended(labels, seconds);
    if (log.isLevelEnabled("debug")) log.debug(labels, "call");
  };
}

const server = new grpc.Server({ "grpc.max_receive_message_length": 64 * 1024 * 1024 });
server.addService(service, {
  getStats(call: grpc.ServerUnaryCall<{ name: string }, unknown>, answer: grpc.sendUnaryData<unknown>) {
    const end = open("GetStats", call);
    if (end === undefined) return answer(refused);
    end();
    answer(null, { stats: statsOf(call.request.name) });
  },
  async getLogs(call: grpc.ServerWritableStream<unknown, unknown>) {
    const end = open("GetLogs", call);
    if (end === undefined) return call.destroy(Object.assign(new Error(refused.details), refused));
    const line = { detail: logLine };
    for (let count = 0; count < streamLength; count += 1) {
      if (!call.write(line)) await once(call, "drain");
    }
    end();
    call.end();
  },
  syncUser(call: grpc.ServerReadableStream<{ email: string }, unknown>, answer: grpc.sendUnaryData<unknown>) {
    const end = open("SyncUser", call);
    if (end === undefined) return answer(refused);
    let bytes = 0;
    call.on("data", ({ email }) => {
      bytes += email.length;
    });
    call.on("end", () => {
      end();
      if (bytes === 0) answer({ code: grpc.status.INTERNAL });
      else answer(null, {});
    });
  },
});
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
process.once("SIGTERM", () => process.exit());
