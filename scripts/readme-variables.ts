import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { coreVariables } from "../src/core/settings.ts";
import { installVariables } from "../src/node/engines/install/install-variables.ts";
import { nodeVariables } from "../src/node/settings.ts";
import { commonVariables } from "../src/platform/config/common.ts";
import { type Variables, variablesAsMarkdown } from "../src/platform/config/variables.ts";

const path = join(import.meta.dirname, "../README.md");
/** Each table stands between two lines of its own. */
const tables: readonly (readonly [begin: string, variables: Variables])[] = [
  ["<!-- variables: `make gen` writes this table -->", { ...nodeVariables, ...installVariables }],
  ["<!-- Core's variables: `make gen` writes this table -->", ownVariablesOfCore()],
];
const end = "<!-- end of variables -->";

/** The README with the tables of variables as the code has them. Throws when the place for one is missing. */
export function withVariables(readme: string): string {
  return tables.reduce((text, [begin, variables]) => withTable(text, begin, variables), readme);
}

function withTable(readme: string, begin: string, variables: Variables): string {
  const from = readme.indexOf(begin);
  const to = readme.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`README.md lacks the lines ${begin} and ${end}`);
  return `${readme.slice(0, from + begin.length)}\n\n${variablesAsMarkdown(variables)}\n\n${readme.slice(to)}`;
}

/** Those that every service reads stand in the node's table. */
function ownVariablesOfCore(): Variables {
  return Object.fromEntries(Object.entries(coreVariables).filter(([name]) => !Object.hasOwn(commonVariables, name)));
}

if (import.meta.main) await writeFile(path, withVariables(await readFile(path, "utf8")));
