import { createPause } from "../pause.ts";
import type { Listener } from "./listeners.ts";
import type { LiveChange } from "./live-change.ts";
import type { Plan } from "./plan.ts";
import type { AccountChange } from "./users-diff.ts";

/** A user whose connections to some inbounds are to end. */
export interface Loss {
  readonly email: string;
  /** Where these inbounds took connections when the user was connected. */
  readonly listeners: readonly Listener[];
}

/** Who has lost what by changes that were applied to the users of a plan, all or in part. */
export function lossesBy(changes: readonly AccountChange[], { config, table }: Plan): Loss[] {
  const lost = new Lost(config);
  for (const { inbound, before, after } of changes) {
    if (before === undefined || after !== undefined || table.holds(inbound.tag, before.email)) continue;
    lost.add(before.email, inbound.tag);
  }
  return lost.all();
}

/**
 * Who has lost what by a change of the config that was taken and applied: users of inbounds that have gone, or that came
 * anew without them, too. Takes a while, in which others have their turn.
 */
export async function lossesByChange({ config, table }: Plan, { plan, changes }: LiveChange): Promise<Loss[]> {
  const lost = new Lost(config);
  const now = new Map(plan.config.parts.inbounds.map(({ tag, text }) => [tag, text]));
  const pause = createPause();
  for (const { tag, text } of config.parts.inbounds) {
    if (now.get(tag) === text) continue;
    for (const email of table.emailsOn(tag)) {
      if (!plan.table.holds(tag, email)) lost.add(email, tag);
      const turn = pause();
      if (turn !== undefined) await turn;
    }
  }
  return [...lost.all(), ...lossesBy(changes, plan)];
}

class Lost {
  readonly #config: Plan["config"];
  readonly #byEmail = new Map<string, Listener[]>();

  constructor(config: Plan["config"]) {
    this.#config = config;
  }

  add(email: string, tag: string): void {
    const listener = this.#config.listeners.get(tag);
    const listeners = this.#byEmail.get(email);
    if (listener === undefined) return;
    if (listeners === undefined) this.#byEmail.set(email, [listener]);
    else listeners.push(listener);
  }

  all(): Loss[] {
    return Array.from(this.#byEmail, ([email, listeners]) => ({ email, listeners }));
  }
}
