import { Verbatim } from "../../../platform/canonical-json.ts";
import type { LinkRow } from "./rows.ts";

/**
 * How much a node may carry for a subscription beyond what Core has acknowledged: a twentieth of the quota, at least
 * 16 MiB and at most 1 GiB, never more than the quota. It does not depend on what was used, so that usage alone makes
 * no new config: close to the quota, the answers to reports of usage name smaller leases.
 */
export function leaseBytes(quotaBytes: number): number {
  return Math.min(quotaBytes, Math.max(Math.ceil(quotaBytes / 20), leastLeaseBytes), mostLeaseBytes);
}

const leastLeaseBytes = 16 * 2 ** 20;
const mostLeaseBytes = 2 ** 30;

/** Collects `subscriptionTerms` of a config from the links that are in it. */
export class TermsRenderer {
  readonly #terms = new Map<number, string>();

  add({ subscriptionId, expiresAt, quotaBytes, deviceLimit, failOpen }: LinkRow): void {
    if ((expiresAt === null && quotaBytes === null && !deviceLimit) || this.#terms.has(subscriptionId)) return;
    const terms: string[] = [];
    if (expiresAt !== null) terms.push(`"expiresAtMs":${expiresAt}`);
    if (quotaBytes !== null && failOpen) terms.push('"failOpen":true');
    if (quotaBytes !== null) terms.push(`"leaseBytes":${leaseBytes(quotaBytes)}`);
    if (deviceLimit) terms.push(`"maxAddresses":${deviceLimit}`);
    this.#terms.set(subscriptionId, `"${subscriptionId}":{${terms.join(",")}}`);
  }

  /** As canonical JSON; undefined when there is nothing to enforce. */
  rendered(): Verbatim | undefined {
    if (this.#terms.size === 0) return undefined;
    // Members of objects are sorted as texts, whatever they mean.
    const ids = [...this.#terms.keys()].map(String).sort();
    return new Verbatim(`{${ids.map((id) => this.#terms.get(Number(id))).join(",")}}`);
  }
}
