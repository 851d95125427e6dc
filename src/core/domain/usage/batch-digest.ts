import { createHash } from "node:crypto";
import type {
  ReportOutboundUsageRequest,
  ReportSessionsRequest,
  ReportUsageRequest,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { digestBytes } from "./batch-order.ts";

// What must not change of a batch is all but its name: entries that are equal have equal digests, by whichever of the
// protocols they came.

/** The digest of a report of usage. */
export function digestOfUsage({ entries, inbounds }: ReportUsageRequest): Uint8Array {
  const content = new Content(entries.length * 80 + inbounds.length * 32);
  content.count(entries.length);
  for (const entry of entries) {
    content.integer(entry.userId);
    content.optional(entry.subscriptionId);
    content.integer(entry.nodeProtocolId);
    content.integer(entry.bytesUp);
    content.integer(entry.bytesDown);
    content.text(entry.recordedAt);
    content.text(entry.linkUuid);
    content.count(entry.coarse ? 1 : 0);
  }
  content.count(inbounds.length);
  for (const inbound of inbounds) {
    content.integer(inbound.nodeProtocolId);
    content.integer(inbound.bytesUp);
    content.integer(inbound.bytesDown);
  }
  return content.digest();
}

/** The digest of a report of outbound usage. */
export function digestOfOutboundUsage({ items }: ReportOutboundUsageRequest): Uint8Array {
  const content = new Content(items.length * 48);
  content.count(items.length);
  for (const item of items) {
    content.text(item.tag);
    content.integer(item.bytesUp);
    content.integer(item.bytesDown);
  }
  return content.digest();
}

/** The digest of a report of session events. */
export function digestOfSessions({ events }: ReportSessionsRequest): Uint8Array {
  const content = new Content(events.length * 120);
  content.count(events.length);
  for (const event of events) {
    content.integer(event.userId);
    content.count(event.protocol);
    content.count(event.eventType);
    content.text(event.occurredAt);
    content.text(event.ipAddress ?? "");
    content.text(event.sessionId);
    content.optional(event.nodeProtocolId);
    content.optional(event.subscriptionId);
  }
  return content.digest();
}

/** Bytes that two reports have in common only when they are equal: integers have a fixed length, texts tell theirs. */
class Content {
  #bytes: Buffer;
  // Writes integers at a fraction of what a Buffer takes.
  #view: DataView;
  #length = 0;

  constructor(expectedBytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(expectedBytes + 64);
    this.#view = new DataView(this.#bytes.buffer);
  }

  integer(value: bigint): void {
    this.#reserve(8);
    this.#view.setBigInt64(this.#length, value);
    this.#length += 8;
  }

  /** Absent is not 0. */
  optional(value: bigint | undefined): void {
    this.count(value === undefined ? 0 : 1);
    if (value !== undefined) this.integer(value);
  }

  /** At most 2^32 - 1. */
  count(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value);
    this.#length += 4;
  }

  text(value: string): void {
    this.#reserve(4 + 3 * value.length);
    const written = value === "" ? 0 : this.#bytes.write(value, this.#length + 4, "utf8");
    this.count(written);
    this.#length += written;
  }

  digest(): Uint8Array {
    return createHash("sha256").update(this.#bytes.subarray(0, this.#length)).digest().subarray(0, digestBytes);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(2 * (this.#length + bytes));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
