import type { Command, RoutingChange } from "./routing-rules.ts";
import { type Chain, listRuleset, type Ruleset } from "./ruleset.ts";
import { type SystemTools, ToolFailed } from "./system-tool.ts";

/** A chain that did not take its change, and what nft said. */
export interface UnchangedChain {
  readonly chain: Chain;
  readonly said: string;
}

/**
 * Changes nftables as a plan says, which is given what there is now: all in one step, so that there is never half of
 * it; or, where chains of others cannot be changed, all but those, which it returns. Throws {@link ToolFailed}.
 */
export async function changeRuleset(
  plan: (ruleset: Ruleset) => RoutingChange,
  tools: SystemTools,
): Promise<UnchangedChain[]> {
  try {
    const { own, foreign } = plan(await listRuleset(tools));
    await run([...own, ...foreign.flatMap(({ commands }) => commands)], tools);
    return [];
  } catch (error) {
    if (!(error instanceof ToolFailed)) throw error;
  }
  // Somebody has changed a chain since it was listed, or owns it, and does not let others change it.
  const { own, foreign } = plan(await listRuleset(tools));
  await run(own, tools);
  const unchanged: UnchangedChain[] = [];
  for (const { chain, commands } of foreign) {
    try {
      await run(commands, tools);
    } catch (error) {
      if (!(error instanceof ToolFailed)) throw error;
      unchanged.push({ chain, said: error.said });
    }
  }
  return unchanged;
}

async function run(commands: readonly Command[], tools: SystemTools): Promise<void> {
  if (commands.length > 0) await tools("nft", ["-j", "-f", "-"], JSON.stringify({ nftables: commands }));
}
