import { readdir, readFile } from "node:fs/promises";

/** The processes that a process has started and that still run, by pid; zombies do not count. */
export async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = await Promise.all(pids.map(statOf));
  return stats.flatMap((stat) => (stat?.parent === parent && stat.state !== "Z" ? [stat.pid] : []));
}

/** The engine of a node. Throws unless there is exactly one. */
export async function onlyChildOf(parent: number): Promise<number> {
  const children = await childrenOf(parent);
  const [child] = children;
  if (child === undefined || children.length > 1) throw new Error(`process ${parent} has ${children.length} children`);
  return child;
}

/** Whether a process is there and no zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await statOf(pid);
  return stat !== undefined && stat.state !== "Z";
}

interface Stat {
  readonly pid: number;
  readonly state: string;
  readonly parent: number;
}

async function statOf(pid: number): Promise<Stat | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name stands in parentheses and may hold any character.
    const [state = "", parent = ""] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { pid, state, parent: Number(parent) };
  } catch {
    return undefined; // it has ended meanwhile
  }
}
