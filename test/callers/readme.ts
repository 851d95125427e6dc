import { readFile } from "node:fs/promises";

/** A block of code in the README. */
export interface ReadmeBlock {
  readonly language: string;
  /** What else its fence says: `until-interrupted`. */
  readonly note: string;
  readonly code: string;
}

/** The code of the README's section "Call it", block by block, literally. */
export async function readmeBlocks(): Promise<ReadmeBlock[]> {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const section = readme.match(/^## Call it\n([\s\S]*?)^## /m)?.[1] ?? "";
  const blocks = section.matchAll(/^```(\w+) ?(.*)\n([\s\S]*?)^```$/gm);
  return [...blocks].map(([, language = "", note = "", code = ""]) => ({ language, note, code }));
}
