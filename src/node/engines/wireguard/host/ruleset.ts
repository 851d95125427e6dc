import { z } from "zod";
import type { SystemTools } from "./system-tool.ts";

const place = { family: z.string(), table: z.string() };
const table = z.object({ family: z.string(), name: z.string() });
const chain = z.object({
  ...place,
  name: z.string(),
  type: z.string().optional(),
  hook: z.string().optional(),
  policy: z.string().optional(),
});
const rule = z.object({
  ...place,
  chain: z.string(),
  handle: z.number(),
  comment: z.string().optional(),
  expr: z.array(z.unknown()).default([]),
});
const listing = z.object({
  nftables: z.array(z.object({ table: table.optional(), chain: chain.optional(), rule: rule.optional() })),
});

/** A chain of nftables; one with a hook sees packets by itself. */
export type Chain = z.output<typeof chain>;
/** A rule; `handle` names it within its table. */
export type Rule = z.output<typeof rule>;

/** What nftables holds. Rules stand in the order in which packets meet them. */
export interface Ruleset {
  readonly tables: readonly z.output<typeof table>[];
  readonly chains: readonly Chain[];
  readonly rules: readonly Rule[];
}

/** Reads what `nft -j list ruleset` says. */
export function readRuleset(answer: string): Ruleset {
  const { nftables } = listing.parse(JSON.parse(answer));
  return {
    tables: nftables.flatMap((object) => object.table ?? []),
    chains: nftables.flatMap((object) => object.chain ?? []),
    rules: nftables.flatMap((object) => object.rule ?? []),
  };
}

/** What nftables holds now, without the contents of sets. Throws {@link ToolFailed}. */
export async function listRuleset(tools: SystemTools): Promise<Ruleset> {
  return readRuleset(await tools("nft", ["-j", "-t", "list", "ruleset"]));
}

/** The rules of a chain. */
export function rulesOf({ rules }: Ruleset, { family, table, name }: Pick<Chain, "family" | "table" | "name">): Rule[] {
  return rules.filter((rule) => rule.chain === name && rule.table === table && rule.family === family);
}

/** What becomes of every packet that comes so far: it is let on, or refused, or the chain's policy decides at once. */
export type Fate = "accepted" | "refused" | "left";

/**
 * What becomes of every packet that meets a rule. Undefined for one with a condition, and for one after which the next
 * one decides.
 */
export function fateAt(rule: Rule, ruleset: Ruleset, above: readonly string[] = []): Fate | undefined {
  let fate: Fate | undefined;
  for (const statement of rule.expr) {
    const [name, value] = Object.entries(statement ?? {})[0] ?? [];
    if (name === "counter" || name === "log") continue;
    if (name === "accept") fate = "accepted";
    else if (name === "drop" || name === "reject" || isRejectOfIptables(name, value)) fate = "refused";
    else if (name === "return") fate = "left";
    else if (name === "jump" || name === "goto") {
      const inThere = fateIn({ ...rule, name: targetOf(value) }, ruleset, above);
      fate = name === "goto" ? (inThere ?? "left") : inThere;
    } else return undefined;
  }
  return fate;
}

function fateIn(
  chain: Pick<Chain, "family" | "table" | "name">,
  ruleset: Ruleset,
  above: readonly string[],
): Exclude<Fate, "left"> | undefined {
  if (above.includes(chain.name)) return undefined;
  for (const rule of rulesOf(ruleset, chain)) {
    const fate = fateAt(rule, ruleset, [...above, chain.name]);
    if (fate !== undefined) return fate === "left" ? undefined : fate;
  }
  return undefined;
}

function isRejectOfIptables(name: string | undefined, value: unknown): boolean {
  return name === "xt" && /"target".*"REJECT"/.test(JSON.stringify(value));
}

function targetOf(value: unknown): string {
  return z.object({ target: z.string() }).parse(value).target;
}
