import { createHash } from "node:crypto";
import { clone, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Invalid } from "./situations.ts";

/** Where a page begins: the values by which rows are ordered, of the last row before it. */
export type PageKey = readonly (number | string)[];

/** A page that is asked for. */
export interface Page {
  readonly size: number;
  /** Undefined: the first one. */
  readonly after: PageKey | undefined;
  /**
   * Of the rows, one more than `size` of which were looked for, those of the page, and the token of the next one; empty
   * when there is none.
   */
  cut<Row>(rows: readonly Row[], keyOf: (row: Row) => PageKey): { rows: readonly Row[]; nextPageToken: string };
}

interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

/**
 * Reads which page is asked for. `shape` names the types of the key. A token is only good with the fields that it was
 * made with. Throws {@link Invalid} with PAGE_TOKEN_INVALID.
 */
export function pageOf<D extends DescMessage>(
  desc: D,
  request: MessageShape<D> & PageRequest,
  shape: readonly ("number" | "string")[],
  usualSize = 50,
): Page {
  const size = request.pageSize || usualSize;
  const fingerprint = fingerprintOf(desc, request);
  return {
    size,
    after: request.pageToken === "" ? undefined : keyIn(request.pageToken, fingerprint, shape),
    cut(rows, keyOf) {
      const page = rows.slice(0, size);
      const last = page.at(-1);
      const isLast = rows.length <= size || last === undefined;
      return { rows: page, nextPageToken: isLast ? "" : tokenOf(fingerprint, keyOf(last)) };
    },
  };
}

function fingerprintOf<D extends DescMessage>(desc: D, request: MessageShape<D>): string {
  const filters = Object.assign(clone(desc, request), { pageSize: 0, pageToken: "" });
  return createHash("sha256").update(desc.typeName).update(toBinary(desc, filters)).digest("base64url").slice(0, 11);
}

function tokenOf(fingerprint: string, key: PageKey): string {
  return Buffer.from(JSON.stringify([fingerprint, ...key])).toString("base64url");
}

function keyIn(token: string, fingerprint: string, shape: readonly string[]): PageKey {
  const [made, ...key] = parsed(token);
  const fits = key.length === shape.length && key.every((value, index) => isKeyOf(shape[index], value));
  if (made !== fingerprint || !fits) {
    throw new Invalid(
      "PAGE_TOKEN_INVALID",
      "pageToken is not one that was answered to a request with the same other fields: begin with the first page",
    );
  }
  return key as PageKey; // as the check has just found
}

/** What a column can be compared with: all that orders rows are whole numbers, and texts without zero characters. */
function isKeyOf(type: string | undefined, value: unknown): boolean {
  return typeof value === "string"
    ? type === "string" && !value.includes("\0")
    : type === "number" && Number.isSafeInteger(value);
}

function parsed(token: string): unknown[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
