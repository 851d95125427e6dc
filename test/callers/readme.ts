import { readFile } from "node:fs/promises";

/** The code of the README's section "Call it" in a language, block by block, literally. */
export async function readmeBlocks(language: string): Promise<string[]> {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const section = readme.match(/^## Call it\n([\s\S]*?)^## /m)?.[1] ?? "";
  const blocks = [...section.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)];
  return blocks.filter(([, named]) => named === language).map(([, , code = ""]) => code);
}
