import { readFile } from "node:fs/promises";
import { isErrno } from "../errno.ts";

/** The text of a file; undefined when there is no such file. Throws the system's other errors. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
