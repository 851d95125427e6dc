import type { ConfigScope } from "./configs.ts";

/** A change, and what it was. */
export interface ConfigChange {
  readonly scope: ConfigScope;
  readonly reason: string;
}

/** Many changes, said in as few as there can be. */
export function mergeChanges(changes: readonly ConfigChange[]): ConfigChange[] {
  const nodeIds = new Set<number>();
  const subscriptionIds = new Set<number>();
  for (const { scope } of changes) {
    if (scope === "all") return [{ scope, reason: reasonOf(changes) }];
    if ("nodeIds" in scope) for (const id of scope.nodeIds) nodeIds.add(id);
    else for (const id of scope.subscriptionIds) subscriptionIds.add(id);
  }
  return [
    ...(nodeIds.size > 0 ? [{ scope: { nodeIds: [...nodeIds] }, reason: reasonOf(changes) }] : []),
    ...(subscriptionIds.size > 0
      ? [{ scope: { subscriptionIds: [...subscriptionIds] }, reason: reasonOf(changes) }]
      : []),
  ];
}

function reasonOf(changes: readonly ConfigChange[]): string {
  return [...new Set(changes.map(({ reason }) => reason))].join("; ").slice(0, 200);
}
