import type { ConfigScope } from "./configs.ts";
import type { Pace } from "./pace.ts";
import type { RenderedConfig } from "./render/render.ts";
import type { LinkRow, NodeRows } from "./render/rows.ts";

/** What publishing asks of a store. Times are in milliseconds since 1970. */
export interface PublicationStore {
  /** Notes that configs may have changed. */
  mark(scope: ConfigScope, reason: string, now: number): Promise<void>;
  /**
   * Notes the nodes that were not rendered since `before`, or never, or not for the version of the contract that their
   * agent speaks by now: at most `most`.
   */
  markUnchecked(before: number, most: number, now: number): Promise<void>;
  /** Takes nodes that are due, for nobody else to take them before `until`: at most `most`. */
  claim(by: string, now: number, until: number, most: number): Promise<Claim[]>;
  /** When the next node is due. Undefined: none has changed. */
  nextDueAt(): Promise<number | undefined>;
  /** The rows of these nodes; those that are gone are left out. */
  nodes(nodeIds: readonly number[]): Promise<NodeRows[]>;
  /** The numbers of the addresses that a node protocol of WireGuard has given, by subscription. */
  addressNumbers(nodeProtocolId: number): Promise<ReadonlyMap<number, number>>;
  /** Gives an address of it to each of these subscriptions that is to have one; returns how many it had none for. */
  giveAddresses(nodeProtocolId: number, subscriptionIds: readonly number[]): Promise<number>;
  /** The links of these protocols that may be used, by UUID. */
  links(protocols: readonly string[], pace: Pace): Promise<LinkRow[]>;
  /**
   * Makes a revision of each that differs from what was rendered last for its node, and ends the claims. What was
   * claimed by others meanwhile is left alone. Returns how many revisions it has made.
   */
  publish(by: string, rendered: readonly Publication[], now: number): Promise<number>;
  /** Gives claims back; they are due again at `dueAt`. */
  release(by: string, nodeIds: readonly number[], dueAt: number): Promise<void>;
}

/** A node that is taken. */
export interface Claim {
  readonly nodeId: number;
  /** Which state of its rows is going to be read, at least. */
  readonly version: number;
  readonly reason: string;
}

/** What was rendered for a node that is taken. */
export interface Publication extends Claim, RenderedConfig {
  /** The version of the contract for which. */
  readonly protocolVersion: number;
}
