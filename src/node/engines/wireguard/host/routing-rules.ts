import { createHash } from "node:crypto";
import { type Family, families } from "./egress.ts";
import { type Chain, fateAt, type Rule, type Ruleset, rulesOf } from "./ruleset.ts";

/** What carries the mark of one node of this machine. */
export interface RoutingMark {
  /** Its table, of the family `inet`. */
  readonly table: string;
  /** What the comments of all its rules begin with. */
  readonly comment: string;
}

/** The mark of an owner: the same for each run of a node, and another for each node of a machine. */
export function routingMark(owner: string): RoutingMark {
  const id = createHash("sha256").update(owner).digest("hex").slice(0, 12);
  return { table: `garrison_${id}`, comment: `garrison ${id}: ` };
}

/** What is to be routed. */
export interface Routed {
  /** The interface that packets come from. */
  readonly from: string;
  /** The interface by which those of a family leave. A family without one is not routed. */
  readonly egress: { readonly [family in Family]?: string };
  /** Whatever leaves by the egress interface is masqueraded, wherever it comes from. */
  readonly masqueradeAll: boolean;
  /** Lines that the table keeps for whoever removes it. */
  readonly notes: readonly string[];
}

/** A command of nft, as its JSON has it: names travel as strings, so that none can be taken for anything else. */
export type Command = { readonly [verb in "add" | "insert" | "delete"]?: object };

/** What makes a ruleset what it is to be. Nothing, where it is that already. */
export interface RoutingChange {
  /** What replaces, or removes, our own table. */
  readonly own: readonly Command[];
  /** What adds our rules to chains of others, or removes them there, by chain. */
  readonly foreign: readonly { readonly chain: Chain; readonly commands: readonly Command[] }[];
}

/**
 * What makes a ruleset route what is to be routed; undefined: nothing any more. Tables, chains and rules that do not
 * carry the mark are never changed.
 *
 * Our own table masquerades. (Which interface a packet came from is known there since Linux 5.7.) It cannot let packets
 * past the chains of others, in which a drop is final; so each of those that refuses what no rule of its own has
 * decided on (by its policy, or by a rule without any condition at its end, as that of firewalld) gets two rules that
 * accept what comes from the interface and the answers to it. They stand at the end, before that last rule: whatever
 * the machine's admin forbids, or allows, is decided before.
 *
 * In the chains of iptables the rule for answers has no condition on the connection: one in the words of nftables is
 * beyond iptables, whose programs would refuse to list the whole table from then on. There a rule in our own table
 * drops what is no answer, but for ports that are forwarded to a peer.
 */
export function changeRouting(ruleset: Ruleset, mark: RoutingMark, routed: Routed | undefined): RoutingChange {
  const foreign: { chain: Chain; commands: Command[] }[] = [];
  let isGuarded = false;
  for (const chain of ruleset.chains) {
    if (chain.table === mark.table || chain.hook !== "forward" || !Object.hasOwn(familiesOf, chain.family)) continue;
    const ours = rulesOf(ruleset, chain).filter((rule) => isMarked(rule, mark));
    const spot = spotIn(chain, ruleset, mark);
    const wanted = spot === undefined || routed === undefined ? [] : acceptances(chain, mark, routed);
    if (wanted.length > 0 && isOfIptables(chain)) isGuarded = true;
    const stand = ours.filter(({ handle }) => spot?.reachable.has(handle));
    if (ours.length === stand.length && isSame(stand, wanted)) continue;
    foreign.push({
      chain,
      commands: [
        ...ours.map(({ family, table, chain, handle }) => ({ delete: { rule: { family, table, chain, handle } } })),
        ...wanted.map((rule) => placed(rule, spot?.before)),
      ],
    });
  }
  const own = ruleset.rules.filter((rule) => rule.family === "inet" && rule.table === mark.table);
  const exists = ruleset.tables.some(({ family, name }) => family === "inet" && name === mark.table);
  const wanted = routed === undefined ? [] : ownRules(mark, routed, isGuarded);
  if (exists === (routed !== undefined) && isSame(own, wanted)) return { own: [], foreign };
  const table = { table: { family: "inet", name: mark.table } };
  return {
    own: [
      ...(exists ? [{ delete: table }] : []),
      ...(routed === undefined ? [] : [{ add: table }, ...ownChains(mark), ...wanted.map((rule) => placed(rule))]),
    ],
    foreign,
  };
}

/** The notes in the table of a mark. */
export function notesIn({ rules }: Ruleset, { table, comment }: RoutingMark): string[] {
  const notes = rules.filter((rule) => rule.family === "inet" && rule.table === table && rule.chain === noteChain);
  return notes.map((rule) => (rule.comment ?? "").slice(comment.length));
}

/** The marks of other nodes that route on this machine. */
export function otherMarks({ tables }: Ruleset, { table: own }: RoutingMark): RoutingMark[] {
  return tables.flatMap(({ family, name: table }) => {
    const id = family === "inet" && table !== own ? /^garrison_([0-9a-f]{12})$/.exec(table)?.[1] : undefined;
    return id === undefined ? [] : [{ table, comment: `garrison ${id}: ` }];
  });
}

/** Whether somebody else changes the addresses of packets of a family as they leave, and so routes some, too. */
export function othersMasquerade(ruleset: Ruleset, family: Family): boolean {
  return ruleset.chains.some(
    (chain) =>
      chain.type === "nat" &&
      chain.hook === "postrouting" &&
      !chain.table.startsWith("garrison_") &&
      (familiesOf[chain.family] ?? []).includes(family) &&
      rulesOf(ruleset, chain).length > 0,
  );
}

/** Which packets tables of a family see. */
const familiesOf: Readonly<Record<string, readonly Family[]>> = { ip: ["ipv4"], ip6: ["ipv6"], inet: families };
/** Nothing ever gets there. */
const noteChain = "notes";

/** A rule to be made; one with the same comment in the same chain is the same. */
type WantedRule = Pick<Rule, "family" | "table" | "chain" | "expr"> & { readonly comment: string };

function ownChains({ table }: RoutingMark): Command[] {
  const chain = (name: string, hook: object = {}) => ({ add: { chain: { family: "inet", table, name, ...hook } } });
  return [
    chain("forward", { type: "filter", hook: "forward", prio: 0, policy: "accept" }),
    chain("postrouting", { type: "nat", hook: "postrouting", prio: 100, policy: "accept" }),
    chain(noteChain),
  ];
}

function ownRules({ table, comment }: RoutingMark, routed: Routed, isGuarded: boolean): WantedRule[] {
  const { from, egress, masqueradeAll, notes } = routed;
  const rule = (chain: string, about: string, ...expr: unknown[]): WantedRule => ({
    family: "inet",
    table,
    chain,
    expr,
    comment: `${comment}${about}`,
  });
  const guards = unique(Object.values(egress)).map((out) =>
    rule(
      "forward",
      `only answers from ${out} to ${from}`,
      is({ meta: { key: "iifname" } }, out),
      is({ meta: { key: "oifname" } }, from),
      { match: { op: "in", left: { ct: { key: "state" } }, right: "new" } },
      is({ "&": [{ ct: { key: "status" } }, "dnat"] }, 0),
      { drop: null },
    ),
  );
  const masquerades = families.flatMap((family) => {
    const out = egress[family];
    if (out === undefined) return [];
    const source = masqueradeAll ? [] : [is({ meta: { key: "iifname" } }, from)];
    return rule(
      "postrouting",
      `${family} from ${masqueradeAll ? "anywhere" : from} by ${out}`,
      is({ meta: { key: "nfproto" } }, family),
      ...source,
      is({ meta: { key: "oifname" } }, out),
      { masquerade: null },
    );
  });
  return [
    ...(isGuarded ? guards : []),
    ...masquerades,
    ...notes.map((note) => rule(noteChain, note, { return: null })),
  ];
}

function acceptances(chain: Chain, { comment }: RoutingMark, { from, egress }: Routed): WantedRule[] {
  const ways = unique((familiesOf[chain.family] ?? []).flatMap((family) => egress[family] ?? []));
  const answers = isOfIptables(chain)
    ? []
    : [{ match: { op: "in", left: { ct: { key: "state" } }, right: ["established", "related"] } }];
  const rule = (input: string, output: string, conditions: unknown[]): WantedRule => ({
    family: chain.family,
    table: chain.table,
    chain: chain.name,
    expr: [
      is({ meta: { key: "iifname" } }, input),
      is({ meta: { key: "oifname" } }, output),
      ...conditions,
      { accept: null },
    ],
    comment: `${comment}${input} to ${output}`,
  });
  return ways.flatMap((out) => [rule(from, out, []), rule(out, from, answers)]);
}

/**
 * Where in a chain our rules are to stand: before the rule with this handle, or at the end. Undefined when they need
 * not, since it refuses nothing by itself.
 */
function spotIn(
  chain: Chain,
  ruleset: Ruleset,
  mark: RoutingMark,
): { before: number | undefined; reachable: Set<number> } | undefined {
  const reachable = new Set<number>();
  const isClosed = chain.policy === "drop";
  for (const rule of rulesOf(ruleset, chain)) {
    if (isMarked(rule, mark)) {
      reachable.add(rule.handle);
      continue;
    }
    const fate = fateAt(rule, ruleset);
    if (fate === "refused" || (fate === "left" && isClosed)) return { before: rule.handle, reachable };
    if (fate !== undefined) return undefined;
  }
  return isClosed ? { before: undefined, reachable } : undefined;
}

/** Those that iptables looks after. */
function isOfIptables({ family, name }: Chain): boolean {
  return family !== "inet" && name === "FORWARD";
}

function isMarked({ comment }: Pick<Rule, "comment">, mark: RoutingMark): boolean {
  return comment?.startsWith(mark.comment) === true;
}

function isSame(stand: readonly Rule[], wanted: readonly WantedRule[]): boolean {
  const text = (rules: readonly Pick<Rule, "chain" | "comment">[]) =>
    rules.map(({ chain, comment }) => `${chain} ${comment}`).sort();
  return text(stand).join("\n") === text(wanted).join("\n");
}

function placed(rule: WantedRule, before?: number): Command {
  return before === undefined ? { add: { rule } } : { insert: { rule: { ...rule, handle: before } } };
}

function is(left: object, right: string | number): object {
  return { match: { op: "==", left, right } };
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}
