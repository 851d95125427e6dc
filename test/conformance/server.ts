// The server under test of the conformance suite: reads what is asked of it from stdin, serves with the product's own
// stack, and says on stdout where. Logs go to stderr, since stdout belongs to the protocol.
import { buffer } from "node:stream/consumers";
import { createRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createServer } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { conformanceService } from "./conformance-service.ts";
import {
  ServerCompatRequestSchema,
  ServerCompatResponseSchema,
} from "./gen/connectrpc/conformance/v1/server_compat_pb.ts";
import { file_connectrpc_conformance_v1_service } from "./gen/connectrpc/conformance/v1/service_pb.ts";

const prefixBytes = 4;
const input = await buffer(process.stdin);
const asked = fromBinary(ServerCompatRequestSchema, input.subarray(prefixBytes));
const creds = asked.useTls ? asked.serverCreds : undefined;
const clientCa = Buffer.from(asked.clientTlsCert).toString();
const server = await createServer({
  services: [conformanceService],
  gate: () => undefined,
  host: "127.0.0.1",
  port: 0,
  ...(creds && {
    tls: {
      pair: { cert: Buffer.from(creds.cert), key: Buffer.from(creds.key) },
      ...(clientCa !== "" && { clientCa }),
    },
  }),
  ...(asked.messageReceiveLimit > 0 && { maxMessageBytes: asked.messageReceiveLimit }),
  shortPath: process.env.GARRISON_SHORT_PATH !== "off",
  registry: createRegistry(file_connectrpc_conformance_v1_service),
  log: createLog("conformance", "fatal"),
  metrics: createMetrics("conformance"),
});
const { hostname, port } = new URL(server.url);
const answer = toBinary(ServerCompatResponseSchema, {
  $typeName: "connectrpc.conformance.v1.ServerCompatResponse",
  host: hostname,
  port: Number(port),
  pemCert: creds?.cert ?? new Uint8Array(),
});
const prefix = Buffer.alloc(prefixBytes);
prefix.writeUInt32BE(answer.length);
process.stdout.write(Buffer.concat([prefix, answer]));
process.on("SIGTERM", () => process.exit());
