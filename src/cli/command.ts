import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import type { Env } from "../platform/config/variables.ts";

/** What surrounds a command. */
export interface Surroundings {
  /** For results. A service prints its ready line there and nothing else. */
  readonly stdout: NodeJS.WritableStream;
  /** For everything that is said besides. */
  readonly stderr: Terminal;
  /** The environment, with the `.env` file of the working directory. */
  readEnv(): Promise<Env>;
}

/** A stream that may be a terminal. */
export interface Terminal extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
  /** Characters in a line. */
  readonly columns?: number;
}

/** An option of a command. */
interface Option {
  readonly type: "string" | "boolean";
  /** What stands for the value in `--help`: `<hex>`. */
  readonly value?: string;
  readonly about: string;
}

/** What a command line said: options by name, and the words besides them. */
export interface Invocation {
  readonly flags: Readonly<Record<string, boolean | undefined>>;
  readonly texts: Readonly<Record<string, string | undefined>>;
  readonly words: readonly string[];
}

/** One command of `garrison`. */
export interface Command {
  /** How it is called: `garrison node [--examples]`. */
  readonly usage: string;
  /** What it does, in lines of at most 100 characters. */
  readonly about: string;
  readonly options: Readonly<Record<string, Option>>;
  /** More for `--help`, below the options. */
  readonly details?: string;
  /** Runs it, and returns the exit code. */
  run(invocation: Invocation, surroundings: Surroundings): Promise<number>;
}

/** The exit code of a wrong command line and of wrong settings: starting again does not help. */
export const exitWrongUse = 2;

/** The command line is wrong. */
export class WrongUsage extends Error {
  override readonly name = "WrongUsage";
}

/**
 * Reads the arguments of a command. Undefined when they ask for help.
 *
 * @throws WrongUsage
 */
export function parseInvocation(command: Command, args: readonly string[]): Invocation | undefined {
  const config: ParseArgsOptionsConfig = { help: { type: "boolean", short: "h" } };
  for (const [name, { type }] of Object.entries(command.options)) config[name] = { type };
  const { values, positionals } = parse(config, args);
  if (values.help) return undefined;
  const flags: Record<string, boolean> = {};
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    if (typeof value === "boolean") flags[name] = value;
    if (typeof value === "string") texts[name] = value;
  }
  return { flags, texts, words: positionals };
}

function parse(options: ParseArgsOptionsConfig, args: readonly string[]) {
  try {
    return parseArgs({ options, args: [...args], allowPositionals: true });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // The first sentence says what is wrong, the others how to get around it.
    throw new WrongUsage(error.message.split(". ")[0]);
  }
}

/** What `--help` prints. */
export function helpOf({ usage, about, options, details }: Command): string {
  const all: Record<string, Option> = { ...options, help: { type: "boolean", about: "print this" } };
  const rows = Object.entries(all).map(([name, { value, about }]) => {
    const option = `--${name}${value === undefined ? "" : ` ${value}`}`;
    return `  ${option.padEnd(20)}${about}`;
  });
  const parts = [`Usage: ${usage}`, about, `Options:\n${rows.join("\n")}`, details];
  return `${parts.filter((part) => part !== undefined).join("\n\n")}\n`;
}

/** Refuses words that a command does not take. */
export function refuseWords(words: readonly string[]): void {
  if (words.length > 0) throw new WrongUsage(`unexpected argument '${words[0]}'`);
}
