/** Nodes that report. */
export const nodes = 10;
/** Users, each with one subscription, who are on every node. */
export const users = 50_000;
/** The key that the bench's servers ask for; the node's id follows it. */
export const nodeKey = "bench-node-";

/** One report of a node: what its agent sends for a part of its users, in the order of their ids, in one minute. */
export interface Report {
  readonly nodeId: number;
  readonly body: string;
}

/** The reports of all nodes about all users in one minute, by node, each in the order in which it is sent. */
export function reportsOf(minute: number, epoch: string, entriesPerBatch: number): Report[][] {
  const recordedAt = new Date(minute).toISOString();
  return Array.from({ length: nodes }, (_, index) => {
    const nodeId = index + 1;
    return Array.from({ length: users / entriesPerBatch }, (_, batch) => {
      const entries = Array.from({ length: entriesPerBatch }, (_, at) => {
        const userId = batch * entriesPerBatch + at + 1;
        const bytesUp = 1_000 + ((userId * 7919 + nodeId) % 100_000);
        return { userId, subscriptionId: userId, nodeProtocolId: nodeId, bytesUp, bytesDown: 9 * bytesUp, recordedAt };
      });
      return { nodeId, body: JSON.stringify({ entries, batch: { epoch, seq: batch + 1, ageMs: 100 } }) };
    });
  });
}

/** What all reports of one minute add up to, in both directions. */
export const bytesPerMinute = reportsTotal();

function reportsTotal(): bigint {
  let total = 0;
  for (let nodeId = 1; nodeId <= nodes; nodeId += 1) {
    for (let userId = 1; userId <= users; userId += 1) total += 10 * (1_000 + ((userId * 7919 + nodeId) % 100_000));
  }
  return BigInt(total);
}
