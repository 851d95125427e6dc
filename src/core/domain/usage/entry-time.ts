/** One minute in milliseconds. */
export const minuteMs = 60_000;
/** Entries of a minute that is further ahead are booked under that of their arrival. */
const aheadMs = 2 * minuteMs;
/** Entries that are older are booked under the minute of their arrival. */
const oldestMs = 7 * 24 * 60 * minuteMs;

/** The minute that an entry is booked under. */
export interface BookedMinute {
  /** Its start. */
  readonly minute: number;
  /** It is that of the arrival, since the entry's own is too long ago or yet to come. */
  readonly late: boolean;
}

/** The minute that traffic of a time is booked under. Times are milliseconds since 1970. */
export function bookedMinute(recordedAt: number, now: number): BookedMinute {
  const late = recordedAt < now - oldestMs || recordedAt > now + aheadMs;
  const at = late ? now : recordedAt;
  return { minute: at - (((at % minuteMs) + minuteMs) % minuteMs), late };
}

/**
 * Milliseconds by which the clock of a node was wrong when it recorded these times: to be taken from each of them. A
 * batch was sealed `ageMs` before now, whatever the clock says, and nothing in it can be newer than that. The clock is
 * wrong when most of the entries are more than 2 minutes newer, or more than 7 days older, as on a server that began at
 * 1970. Less than 7 days behind cannot be told from entries that have waited, and are booked where they say.
 */
export function clockError(times: readonly number[], ageMs: number | undefined, now: number): number {
  if (ageMs === undefined || times.length === 0) return 0;
  const sealedAt = now - ageMs;
  const isWrong = (time: number) => time > sealedAt + aheadMs || time < sealedAt - oldestMs;
  if (!isMost(times, isWrong)) return 0;
  // Not the newest of all: one entry that cannot be right would move the others.
  const middle = times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? sealedAt;
  const newest = times.reduce((newer, time) => (time > newer && time - middle < oldestMs ? time : newer), middle);
  return newest - sealedAt;
}

function isMost(times: readonly number[], test: (time: number) => boolean): boolean {
  let count = 0;
  for (const time of times) {
    if (test(time)) count += 1;
  }
  return 2 * count > times.length;
}

/**
 * Reads an RFC 3339 time; undefined when it is none. Remembers the last one: entries of a batch are mostly of one minute.
 */
export function createTimeReader(): (text: string) => number | undefined {
  let lastText: string | undefined;
  let last: number | undefined;
  return (text) => {
    if (text !== lastText) {
      last = readTime(text);
      lastText = text;
    }
    return last;
  };
}

function readTime(text: string): number | undefined {
  if (text.length > 64) return undefined;
  const [, date, time = "", fraction = "", zone = ""] = rfc3339.exec(text) ?? [];
  if (date === undefined) return undefined;
  // A leap second is the last one of its minute.
  const seconds = time.endsWith(":60") ? `${time.slice(0, 6)}59` : time;
  const utc = Date.parse(`${date}T${seconds}${fraction.slice(0, 4)}Z`);
  // The 30th of February would be a day in March.
  if (Number.isNaN(utc) || !new Date(utc).toISOString().startsWith(date)) return undefined;
  const offset = Date.parse(`1970-01-01T00:00:00${zone.toUpperCase()}`);
  return Number.isNaN(offset) ? undefined : utc + offset;
}

const rfc3339 = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
