import { access, stat } from "node:fs/promises";

/** The path leads to a file to which this process has the access that `mode` asks for. */
export async function isFile(file: string, mode: number): Promise<boolean> {
  try {
    await access(file, mode);
    return (await stat(file)).isFile();
  } catch {
    return false; // absent, or not for us: either way not a file that can be used
  }
}
