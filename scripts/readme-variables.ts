import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { installVariables } from "../src/node/engines/install/install-variables.ts";
import { nodeVariables } from "../src/node/settings.ts";
import { variablesAsMarkdown } from "../src/platform/config/variables.ts";

const path = join(import.meta.dirname, "../README.md");
const begin = "<!-- variables: `make gen` writes this table -->";
const end = "<!-- end of variables -->";

/** The README with the table of variables as the code has it. Throws when the place for it is missing. */
export function withVariables(readme: string): string {
  const from = readme.indexOf(begin);
  const to = readme.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`README.md lacks the lines ${begin} and ${end}`);
  const table = variablesAsMarkdown({ ...nodeVariables, ...installVariables });
  return `${readme.slice(0, from + begin.length)}\n\n${table}\n\n${readme.slice(to)}`;
}

if (import.meta.main) await writeFile(path, withVariables(await readFile(path, "utf8")));
