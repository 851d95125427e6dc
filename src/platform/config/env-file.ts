import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../errno.ts";
import { type Env, SettingsRefused } from "./variables.ts";

/**
 * The environment, completed by the file `.env` of a directory. Variables that are set win over the file, even when they
 * are empty. Values of both are trimmed and freed of one pair of quotes: files of the original's installer write
 * `SERVICE_PROTOCOL= "grpc"`, and container runtimes hand such text over as it stands.
 *
 * @throws SettingsRefused when the file is there but cannot be read.
 */
export async function readEnv(directory: string, real: Env): Promise<Env> {
  const env = parseEnvFile(await readFileIfThere(join(directory, ".env")));
  for (const [name, value] of Object.entries(real)) if (value !== undefined) env[name] = unquote(value);
  return env;
}

/**
 * Reads the lines of an `.env` file: `NAME=value` with blanks anywhere around, an optional `export`, comments after `#`
 * (behind an unquoted value only after a blank), values in single or double quotes. Other lines are left out; of a name
 * that stands twice, the last value counts. Nothing is expanded, and a value ends with its line.
 *
 * Node's own parser is not used: behind `NAME= ` with nothing after the blank it takes the whole next line for the value.
 */
export function parseEnvFile(text: string): Record<string, string> {
  const env: Record<string, string> = {};
  for (const line of text.replace(/^\uFEFF/, "").split(/\r\n|[\r\n]/)) {
    const { name, value } =
      /^\s*(?:export\s+)?(?<name>[A-Za-z_][A-Za-z0-9_.]*)\s*=(?<value>.*)$/.exec(line)?.groups ?? {};
    if (name !== undefined && value !== undefined) env[name] = withoutComment(value.trim());
  }
  return env;
}

function withoutComment(value: string): string {
  const quoted = /^("[^"]*"|'[^']*')\s*(?:#.*)?$/.exec(value);
  if (quoted?.[1] !== undefined) return unquote(quoted[1]);
  return value.replace(/(^|\s)#.*$/, "").trimEnd();
}

function unquote(value: string): string {
  const trimmed = value.trim();
  const quote = trimmed[0];
  const isQuoted = trimmed.length > 1 && (quote === '"' || quote === "'") && trimmed.endsWith(quote);
  return isQuoted ? trimmed.slice(1, -1).trim() : trimmed;
}

async function readFileIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "";
    throw new SettingsRefused([`${path} cannot be read: ${error instanceof Error ? error.message : error}`]);
  }
}
