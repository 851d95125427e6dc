import type { GenEnum } from "@bufbuild/protobuf/codegenv2";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { spellingsOf } from "../../../platform/rest/json/rules.ts";

/** A time as a message has it; absent for null. */
export function timeOf(ms: number): Timestamp;
export function timeOf(ms: number | null): Timestamp | undefined;
export function timeOf(ms: number | null): Timestamp | undefined {
  return ms === null ? undefined : timestampFromMs(ms);
}

/** A time as a row has it, in whole milliseconds; null when it is absent. Beyond all dates it is the last one. */
export function msOf(time: Timestamp | undefined): number | null {
  return time === undefined ? null : Math.min(Math.max(Math.floor(timestampMs(time)), -lastMs), lastMs);
}

// Of what `Date` can hold; what `Timestamp` can hold is more than fits a column.
const lastMs = 8.64e15;

/** How rows spell the values of an enum: as REST does. A word that is not known is the zero value. */
export function wordsOf<E extends number>(desc: GenEnum<E>): { word(value: E): string; value(word: string): E } {
  const spellings = spellingsOf(desc);
  // The numbers of the descriptor are those of its type.
  return { word: (value) => spellings.of(value) ?? "", value: (word) => (spellings.find(word) ?? 0) as E };
}
