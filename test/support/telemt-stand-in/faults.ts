import { readFileSync } from "node:fs";

/** What goes wrong with a stand-in, as long as the file says so. */
export interface Faults {
  /** The version that it gives itself. */
  readonly version?: string;
  /** It does not notice that its files have changed. */
  readonly ignoresFiles?: boolean;
  /** Nor when it is told to. */
  readonly ignoresSignals?: boolean;
  /** It answers requests with this text. */
  readonly garbage?: string;
  /** How long it takes to end the connections of those who are disabled; telemt: 50 ms. */
  readonly cutsAfterMs?: number;
  /** Why it is not ready. */
  readonly notReady?: string;
  /** It accepts requests and says nothing. */
  readonly silent?: boolean;
  /** Of how many users it shows the metrics; telemt: 4,096. */
  readonly shownUsers?: number;
  /** Users whom it forgets, as telemt does with those who were idle for a day, each time another list is given. */
  readonly forgets?: readonly string[];
}

/** Reads the faults that are in force now. */
export function readFaults(path: string | undefined): Faults {
  if (path === undefined) return {};
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return {}; // there is none
  }
}
