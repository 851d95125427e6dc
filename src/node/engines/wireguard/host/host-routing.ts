import { createInTurn } from "../../../../platform/in-turn.ts";
import { changeRuleset } from "./change-ruleset.ts";
import { type Family, families, findDefaultRoute } from "./egress.ts";
import {
  type FoundSwitches,
  forwardingSwitch,
  lookAtSwitches,
  putBack,
  readSwitches,
  SwitchUnchangeable,
  switchesAsLines,
  switchesOf,
  turnOn,
} from "./forwarding.ts";
import { findInterface } from "./network-interface.ts";
import { changeRouting, notesIn, otherMarks, othersMasquerade, routingMark } from "./routing-rules.ts";
import { type Chain, listRuleset, type Ruleset } from "./ruleset.ts";
import type { SystemTools } from "./system-tool.ts";

/** How the host routes what peers send. */
export interface HostRoutingSettings {
  /** Whatever leaves by the egress interface is masqueraded, not only what comes from the interface of WireGuard. */
  readonly masqueradeAll: boolean;
}

/** Options of {@link createHostRouting}. */
export interface HostRoutingOptions {
  /** Undefined: the host's routing is left alone, and only what an earlier run has left is removed. */
  readonly settings: HostRoutingSettings | undefined;
  /** The interface by which packets leave. Undefined: that of each family's default route. */
  readonly egressInterface: string | undefined;
  /** Marks what is ours: the same for each run of a node, and another for each node of a machine. */
  readonly owner: string;
  readonly tools: SystemTools;
  /** Takes what the operator should know, in sentences. */
  readonly say: (note: string) => void;
  /** How often it is looked whether all still stands. Default: every minute. */
  readonly checkMs?: number;
}

/** An interface whose packets are to be routed. */
interface RoutedInterface {
  readonly name: string;
  /** The families of its addresses. */
  readonly families: ReadonlySet<Family>;
}

/**
 * Has the host send on what comes from an interface: forwarding is turned on, and nftables masquerades and lets through
 * (see {@link changeRouting}). What cannot be done is told, with what to do about it, and stops nobody.
 *
 * How forwarding was found is noted in the table of nftables that masquerades. So the note goes when the network or the
 * running system goes that it is about, it cannot be taken for another one's, and other nodes of the machine see it:
 * who finds forwarding turned on by another takes the note over, and the last one to go puts back what the first one
 * found.
 */
export interface HostRouting {
  /**
   * Routes an interface, and no other any more. Where it is routed already nothing changes. From then on it is looked
   * time and again whether that is still so: firewalls are started and reloaded, default routes change.
   */
  apply(routed: RoutedInterface): Promise<void>;
  /** Removes what {@link apply} has made, and puts forwarding back. */
  remove(): Promise<void>;
  /** Leaves all as it stands, for the next run of the node: its {@link apply} takes it over, as if it had made it. */
  leave(): Promise<void>;
  /** Like {@link remove}, for what an earlier run has left. */
  recover(): Promise<void>;
}

/** Makes the routing of one node; nothing is touched yet. */
export function createHostRouting(options: HostRoutingOptions): HostRouting {
  return new NftRouting(options);
}

const usualCheckMs = 60_000;

class NftRouting implements HostRouting {
  readonly #options: HostRoutingOptions;
  readonly #mark: ReturnType<typeof routingMark>;
  readonly #inTurn = createInTurn();
  #routed: RoutedInterface | undefined;
  #check: NodeJS.Timeout | undefined;
  // Somebody may have emptied nftables, and the notes with it.
  #found: FoundSwitches = new Map();
  #told: readonly string[] = [];

  constructor(options: HostRoutingOptions) {
    this.#options = options;
    this.#mark = routingMark(options.owner);
  }

  async apply(routed: RoutedInterface): Promise<void> {
    const { settings, checkMs = usualCheckMs } = this.#options;
    if (settings === undefined) return this.recover();
    if (routed.families.size === 0) return this.remove();
    this.#routed = routed;
    clearInterval(this.#check);
    this.#check = setInterval(() => void this.#inTurn(() => this.#route(settings)), checkMs);
    await this.#inTurn(() => this.#route(settings));
  }

  async remove(): Promise<void> {
    if (this.#routed !== undefined) {
      this.#forget();
      await this.#inTurn(() => this.#unroute());
    }
  }

  async leave(): Promise<void> {
    this.#forget();
    await this.#inTurn(async () => undefined);
  }

  recover(): Promise<void> {
    return this.#inTurn(async () => {
      try {
        const { own, foreign } = changeRouting(await listRuleset(this.#options.tools), this.#mark, undefined);
        if (own.length + foreign.length === 0) return;
      } catch {
        return; // who may not look at the rules has made none
      }
      await this.#unroute();
    });
  }

  #forget(): void {
    this.#routed = undefined;
    clearInterval(this.#check);
  }

  async #route(settings: HostRoutingSettings): Promise<void> {
    const routed = this.#routed;
    if (routed === undefined) return; // removed meanwhile
    const problems: string[] = [];
    try {
      await this.#routeBy(await this.#waysOf(routed, problems), routed, settings, problems);
    } catch (error) {
      problems.push(`what peers send is not routed: ${error instanceof Error ? error.message : error}`);
    }
    for (const problem of problems) if (!this.#told.includes(problem)) this.#options.say(problem);
    this.#told = problems;
  }

  /** By which interface each family leaves. */
  async #waysOf(routed: RoutedInterface, problems: string[]): Promise<{ readonly [family in Family]?: string }> {
    const { egressInterface, tools } = this.#options;
    if (egressInterface !== undefined && (await findInterface(egressInterface, tools)) === undefined)
      problems.push(
        `what peers send goes nowhere: there is no interface ${egressInterface}, ` +
          "which PG_NODE_WG_NAT_OUTPUT_INTERFACE names",
      );
    const egress: { [family in Family]?: string } = {};
    for (const family of families) {
      if (!routed.families.has(family)) continue;
      const way = egressInterface ?? (await findDefaultRoute(family, tools, routed.name));
      if (way !== undefined) egress[family] = way;
      else
        problems.push(
          `what peers send by ${spelt[family]} goes nowhere: this machine has no default route of that family. ` +
            "Give it one, or name the interface by PG_NODE_WG_NAT_OUTPUT_INTERFACE",
        );
    }
    return egress;
  }

  async #routeBy(
    egress: { readonly [family in Family]?: string },
    { name: from }: RoutedInterface,
    { masqueradeAll }: HostRoutingSettings,
    problems: string[],
  ): Promise<void> {
    const ways = families.filter((family) => egress[family] !== undefined);
    if (ways.length === 0) return; // what stands may be needed again soon
    const plan = (ruleset: Ruleset) => {
      this.#found = this.#foundBefore(egress, ruleset);
      const notes = switchesAsLines(this.#found);
      return changeRouting(ruleset, this.#mark, { from, egress, masqueradeAll, notes });
    };
    for (const { chain, said } of await changeRuleset(plan, this.#options.tools))
      problems.push(
        `${spoken(chain)} drops what peers send, and cannot be changed (${said}): have that firewall forward between ` +
          `${from} and ${[...new Set(Object.values(egress))].join(", ")}`,
      );
    for (const family of ways) {
      try {
        turnOn(family, this.#found);
      } catch (error) {
        if (!(error instanceof SwitchUnchangeable)) throw error;
        problems.push(`what peers send by ${spelt[family]} is not routed: ${error.message}`);
      }
    }
  }

  /** How switches were before this node, or any other of the machine, has touched them. */
  #foundBefore(egress: { readonly [family in Family]?: string }, ruleset: Ruleset): FoundSwitches {
    const own = this.#noted(ruleset);
    const others = otherMarks(ruleset, this.#mark).map((mark) => readSwitches(notesIn(ruleset, mark)));
    return new Map(
      families.flatMap((family) => {
        const way = egress[family];
        if (way === undefined) return switchesOf(family, own); // it was routed, or will be again
        const before = [own, ...others].find((found) => found.get(forwardingSwitch[family]) === "0") ?? new Map();
        return [...lookAtSwitches(family, way), ...switchesOf(family, before)];
      }),
    );
  }

  #noted(ruleset: Ruleset): FoundSwitches {
    return new Map([...this.#found, ...readSwitches(notesIn(ruleset, this.#mark))]);
  }

  async #unroute(): Promise<void> {
    const { say, tools } = this.#options;
    this.#told = [];
    try {
      const unchangeable = await changeRuleset((ruleset) => {
        this.#found = this.#noted(ruleset);
        return changeRouting(ruleset, this.#mark, undefined);
      }, tools);
      for (const { chain, said } of unchangeable)
        say(`rules that let peers through are left in ${spoken(chain)}, which cannot be changed: ${said}`);
      this.#putBack(await listRuleset(tools));
    } catch (error) {
      say(`what routed packets of peers is not removed: ${error instanceof Error ? error.message : error}`);
    }
  }

  #putBack(ruleset: Ruleset): void {
    const found = this.#found;
    this.#found = new Map();
    const others = otherMarks(ruleset, this.#mark).map((mark) => readSwitches(notesIn(ruleset, mark)));
    for (const family of families) {
      const main = forwardingSwitch[family];
      if (found.get(main) !== "0" || others.some((other) => other.has(main))) continue;
      if (othersMasquerade(ruleset, family)) {
        const name = main.replaceAll("/", ".");
        this.#options.say(
          `${name} stays 1, though it was 0 before: others have come to route by ${spelt[family]}, too`,
        );
      } else putBack(family, found);
    }
  }
}

function spoken({ family, table, name }: Chain): string {
  return `the chain ${name} of the table ${family} ${table}`;
}

const spelt = { ipv4: "IPv4", ipv6: "IPv6" } as const;
