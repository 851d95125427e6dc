import { Recurring } from "../recurring.ts";
import { drifts } from "./inbound-totals.ts";

/** What an inbound and its users have carried in a day, in both directions. */
export interface InboundDay {
  readonly nodeId: number;
  readonly nodeProtocolId: number;
  readonly inboundBytes: bigint;
  readonly userBytes: bigint;
}

/** Options of {@link InboundCheck}. */
export interface InboundCheckOptions {
  /** The inbounds that nodes have counted on a day, which begins then, in milliseconds since 1970. */
  days: (day: number) => Promise<readonly InboundDay[]>;
  /** Milliseconds since 1970. */
  now: () => number;
  log: { warn(details: object, message: string): void };
}

/** Looks, when a day is over, whether the users of inbounds were counted in full, and says so when they were not. */
export class InboundCheck {
  readonly #options: InboundCheckOptions;
  readonly #checks: Recurring;
  #checked: number | undefined;
  #drifting = 0;

  constructor(options: InboundCheckOptions) {
    this.#options = options;
    const failed = (err: unknown) => options.log.warn({ err }, "inbounds could not be compared with their users");
    this.#checks = new Recurring({ everyMs, work: () => this.#check().catch(failed), failed });
  }

  /** Inbounds of the day that was looked at last whose users were not counted in full, or twice. */
  get drifting(): number {
    return this.#drifting;
  }

  /** Looks at the day before, unless that was done. Never rejects. */
  check(): Promise<void> {
    return this.#checks.run();
  }

  close(): Promise<void> {
    return this.#checks.close();
  }

  async #check(): Promise<void> {
    const { days, now, log } = this.#options;
    const day = now() - (now() % dayMs) - dayMs;
    if (day === this.#checked) return;
    const drifting = (await days(day)).filter(({ inboundBytes, userBytes }) => drifts(inboundBytes, userBytes));
    this.#checked = day;
    this.#drifting = drifting.length;
    if (drifting.length === 0) return;
    const shown = drifting.slice(0, mostShown).map(({ nodeId, nodeProtocolId, inboundBytes, userBytes }) => {
      return { nodeId, nodeProtocolId, inboundBytes: `${inboundBytes}`, userBytes: `${userBytes}` };
    });
    log.warn(
      { day: new Date(day).toISOString().slice(0, 10), inbounds: drifting.length, shown },
      "inbounds have carried more, or less, than was booked of their users: users are not counted in full, or twice",
    );
  }
}

const mostShown = 10;
const dayMs = 24 * 60 * 60 * 1000;
const everyMs = 10 * 60 * 1000;
