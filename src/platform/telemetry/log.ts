import { type Logger, pino } from "pino";

export type { Logger };

/** The levels of the log, from the most to the least. */
export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
/** A level of the log. */
export type LogLevel = (typeof logLevels)[number];

/**
 * Makes the log of a service: one JSON object per line, to stderr by default, since stdout belongs to the ready line.
 * What must never be logged is kept out where it is known: credentials everywhere, user e-mails above debug.
 */
export function createLog(
  service: string,
  level: LogLevel,
  destination: NodeJS.WritableStream = process.stderr,
): Logger {
  return pino({ level, base: { service }, formatters: { level: (label) => ({ level: label }) } }, destination);
}
