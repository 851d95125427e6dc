import { create } from "@bufbuild/protobuf";
import { ReportUsageRequestSchema } from "../../gen/garrison/core/v1/node_agent_pb.ts";
import { SubscriptionTermsSchema } from "../../gen/garrison/core/v1/node_config_pb.ts";
import { leaseBytes } from "../../src/core/domain/render/terms.ts";
import { createUsageBooking } from "../../src/core/domain/usage/usage-booking.ts";
import { createUsageStore } from "../../src/core/store/usage/usage-store.ts";
import { createTerms } from "../../src/node/agent/usage/terms.ts";
import { shareDatabase } from "../../test/core/shared-database.ts";
import { addFleet } from "../../test/core/usage/fleet.ts";
import { report } from "../node/report.ts";

const mib = 2 ** 20;
const quotaBytes = 10 * 1024 * mib;
/** What a user carries at each node between two readings of the engine's counters: 10 s of 5 Mbit/s. */
const bytesPerReading = 6 * mib;
const readingsPerReport = 6;

/**
 * What a user carries past the quota when all nodes lose Core at the same moment, at which the user is on all of them:
 * booked by the real booking and held back by the terms of the real agent.
 */
export async function measureQuotaOverrun(): Promise<void> {
  for (const nodes of [1, 8, 20]) {
    let worst = { overrun: 0, share: 0 };
    for (const share of [0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]) {
      const overrun = (await carriedAlone(nodes, share * quotaBytes)) - quotaBytes;
      if (overrun > worst.overrun) worst = { overrun, share };
    }
    const about = `a quota of 10 GiB, a user on ${nodes} nodes, Core lost at ${100 * worst.share} % of it: carried past it`;
    const reference = { about: "the quota", value: quotaBytes };
    report({ about, value: worst.overrun, unit: "bytes", reference });
  }
}

/** All that is carried when Core is lost as soon as so much is booked. */
async function carriedAlone(nodes: number, lostAt: number): Promise<number> {
  const shared = await shareDatabase("sqlite");
  const database = await shared.open();
  const fleet = await addFleet(database, { nodes, users: 1 }, { quota_bytes: BigInt(quotaBytes) });
  const [accountId = 0] = fleet.accountIds;
  const [subscriptionId = 0] = fleet.subscriptionIds;
  const limits = { maxEntries: 5_000, maxEvents: 2_000 };
  const store = createUsageStore(database);
  const booking = createUsageBooking({ store, configs: { changed: () => undefined }, limits, now: Date.now });
  const lent = create(SubscriptionTermsSchema, { leaseBytes: BigInt(leaseBytes(quotaBytes)) });
  const agents = fleet.nodeIds.map((nodeId, index) => {
    const terms = createTerms({ now: Date.now, isCoreAway: () => false, carriedBefore: new Map() });
    const noLinks = { owners: new Map(), former: new Map(), protocols: new Map(), kinds: new Map() };
    terms.replace({ [subscriptionId]: lent }, noLinks);
    return { nodeId, nodeProtocolId: fleet.protocolIds[index] ?? 0, terms, unreported: 0, seq: 0n };
  });
  let total = 0;
  let booked = 0;
  const read = (agent: (typeof agents)[number]) => {
    if (agent.terms.refused > 0) return;
    total += bytesPerReading;
    agent.unreported += bytesPerReading;
    agent.terms.carried(new Map([[subscriptionId, BigInt(bytesPerReading)]]));
    agent.terms.review();
  };
  while (booked < lostAt) {
    for (let reading = 0; reading < readingsPerReport; reading += 1) agents.forEach(read);
    for (const agent of agents) {
      const entry = {
        userId: BigInt(accountId),
        subscriptionId: BigInt(subscriptionId),
        nodeProtocolId: BigInt(agent.nodeProtocolId),
        bytesDown: BigInt(agent.unreported),
        recordedAt: new Date().toISOString(),
      };
      agent.seq += 1n;
      const batch = { epoch: "bench", seq: agent.seq };
      const usage = create(ReportUsageRequestSchema, { entries: agent.unreported > 0 ? [entry] : [], batch });
      const { leases } = await booking.reportUsage(agent.nodeId, usage);
      agent.terms.booked(usage, leases);
      agent.terms.review();
      booked += agent.unreported;
      agent.unreported = 0;
    }
  }
  while (agents.some(({ terms }) => terms.refused === 0)) agents.forEach(read);
  await shared.close();
  return total;
}
