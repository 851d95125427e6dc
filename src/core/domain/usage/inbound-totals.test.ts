import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { InboundUsageSchema } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { drifts, inboundTotals } from "./inbound-totals.ts";

test("inbounds and their users are added up by protocol", () => {
  const inbounds = [7n, 3n, 7n].map((nodeProtocolId) =>
    create(InboundUsageSchema, { nodeProtocolId, bytesUp: 1n, bytesDown: 2n }),
  );
  const rows = [3, 9, 3].map((nodeProtocolId) => ({ nodeProtocolId, bytesUp: 10n, bytesDown: 20n }));
  expect(inboundTotals(inbounds, rows)).toEqual([
    { nodeProtocolId: 3, bytesUp: 1n, bytesDown: 2n, userBytes: 60n },
    { nodeProtocolId: 7, bytesUp: 2n, bytesDown: 4n, userBytes: 0n },
    { nodeProtocolId: 9, bytesUp: 0n, bytesDown: 0n, userBytes: 30n },
  ]);
});

const mib = 1024n * 1024n;
test.each([
  [0n, 0n, false],
  [16n * mib, 0n, false],
  [16n * mib + 1n, 0n, true],
  [1000n * mib, 800n * mib, false],
  [1001n * mib, 800n * mib, true],
  [1000n * mib, 1050n * mib, false],
  [1000n * mib, 1051n * mib, true],
  [10n * mib, 40n * mib, true],
])("an inbound of %d bytes with users of %d bytes drifts: %s", (inbound, users, expected) => {
  expect(drifts(inbound, users)).toBe(expected);
});
