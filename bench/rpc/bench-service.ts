import { timingSafeEqual } from "node:crypto";
import { NodeService } from "../../gen/service/node_pb.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";

/** The credential of every call. */
export const key = "5c6f3b0e-2d39-4c5e-9d77-8a1f4f0a7e11";
const keyBytes = Buffer.from(key);

/** The check that every server of the bench makes of `x-api-key`. */
export function isKey(given: string | null | undefined): boolean {
  if (typeof given !== "string") return false;
  const bytes = Buffer.from(given);
  return bytes.length === keyBytes.length && timingSafeEqual(bytes, keyBytes);
}

/** Messages of the server stream. */
export const streamLength = 200_000;
/** A message of it: 33 bytes. */
export const logLine = "2026/05/09 accepted tcp:1.2.3.4";

/** What GetStats answers about a user. */
export function statsOf(name: string) {
  return [
    { name, type: "uplink", link: "traffic", value: 123_456_789 },
    { name, type: "downlink", link: "traffic", value: 987_654_321 },
  ];
}

/** The calls of the node that the bench makes, without a node behind them. */
export const benchService = serveService(
  NodeService,
  {
    getStats: ({ name }) => ({ stats: statsOf(name).map((stat) => ({ ...stat, value: BigInt(stat.value) })) }),
    async *getLogs() {
      const line = { detail: logLine };
      for (let count = 0; count < streamLength; count += 1) yield line;
    },
    async syncUser(users) {
      let bytes = 0;
      for await (const { email } of users) bytes += email.length;
      if (bytes === 0) throw new Error("no users");
      return {};
    },
  },
  { validated: false },
);
