import type { z } from "zod";

/** The environment: the text of each variable by its name. */
export type Env = Readonly<Record<string, string | undefined>>;

/** What a variable's text must be, and what becomes of it. Its `description` completes the sentence "must be …". */
export type ValueType<T> = z.ZodType<T, string>;

/** One environment variable that a service reads. */
export interface Variable<T> {
  readonly type: ValueType<T>;
  /** What it is for: a sentence for `--help` and the README. */
  readonly about: string;
  /** The text that stands for an absent or empty value. */
  readonly default?: string;
  /** What happens without a value, where there is no such text. */
  readonly absent?: string;
  /** The value is not to be shown. */
  readonly secret?: boolean;
}

/** Environment variables by name. */
export type Variables = Readonly<Record<string, Variable<unknown>>>;

/** The values of variables, by name. */
export type Values<V extends Variables> = { readonly [Name in keyof V]: V[Name] extends Variable<infer T> ? T : never };

/** A variable with a default. */
export function variable<T>(type: ValueType<T>, options: { about: string; default: string }): Variable<T> {
  return { type, ...options };
}

/** A variable that may be absent; `absent` says what happens then. */
export function optional<T>(
  type: ValueType<T>,
  options: { about: string; absent: string; secret?: boolean },
): Variable<T | undefined> {
  return { type, ...options };
}

/** The settings are wrong. Each problem is a line that names the variable, its value and what would be right. */
export class SettingsRefused extends Error {
  override readonly name = "SettingsRefused";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/**
 * Reads variables. An empty value counts as absent.
 *
 * @throws SettingsRefused with every wrong value at once.
 */
export async function readVariables<V extends Variables>(variables: V, env: Env): Promise<Values<V>> {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, { type, default: byDefault, secret }] of Object.entries(variables)) {
    const text = env[name] || byDefault;
    if (text === undefined) continue;
    const result = await type.safeParseAsync(text);
    if (result.success) values[name] = result.data;
    else problems.push(wrongValue(name, text, `must be ${type.description}`, secret));
  }
  if (problems.length > 0) throw new SettingsRefused(problems);
  return values as Values<V>; // every name without a value is an optional one
}

/** The line about a wrong value. Of a secret it shows no more than the beginning and the length. */
export function wrongValue(name: string, value: string, remedy: string, secret = false): string {
  return `${name} is ${secret ? masked(value) : JSON.stringify(value)}: it ${remedy}`;
}

function masked(secret: string): string {
  return `"${secret.slice(0, Math.min(4, secret.length >> 2))}…" (${secret.length} characters)`;
}

/** The variables as a Markdown table. */
export function variablesAsMarkdown(variables: Variables): string {
  const rows = Object.entries(variables).map(([name, { type, about, ...rest }]) => {
    const fallback = rest.default === undefined ? (rest.absent ?? "") : `\`${rest.default}\``;
    return `| \`${name}\` | ${type.description} | ${fallback} | ${about} |`;
  });
  return ["| Variable | Value | Default | Meaning |", "|---|---|---|---|", ...rows].join("\n");
}

/** The variables as text for a terminal, indented by two blanks. */
export function variablesAsText(variables: Variables): string {
  return Object.entries(variables)
    .map(([name, { type, about, ...rest }]) => {
      const lines = [about, `Value: ${type.description}. Default: ${rest.default ?? rest.absent}.`];
      return [`  ${name}`, ...lines.map((line) => `      ${line}`)].join("\n");
    })
    .join("\n");
}
