import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Command, refuseWords } from "./command.ts";

/** `garrison version` */
export const versionCommand: Command = {
  usage: "garrison version",
  about: "Prints the version of Garrison, and of the Node that runs it.",
  options: {},
  async run({ words }, { stdout }) {
    refuseWords(words);
    stdout.write(`garrison ${await garrisonVersion()} (Node ${process.versions.node})\n`);
    return 0;
  },
};

/** The version of Garrison, as package.json says: `0.3.0`. */
export async function garrisonVersion(): Promise<string> {
  const description: unknown = JSON.parse(await readFile(join(import.meta.dirname, "../../package.json"), "utf8"));
  return String((description as { version: unknown }).version);
}
