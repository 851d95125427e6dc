import { readdir, readFile, readlink, realpath } from "node:fs/promises";
import { xrayPath } from "../xray-path.ts";

/** The processes that a process has started and that still run, by pid; zombies do not count. */
export async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = await Promise.all(pids.map(statOf));
  return stats.flatMap((stat) => (stat?.parent === parent && stat.state !== "Z" ? [stat.pid] : []));
}

/** The engines that a node runs, by pid. */
export async function enginesOf(node: number): Promise<number[]> {
  const [children, xray] = await Promise.all([childrenOf(node), xrayPath().then(realpath)]);
  const programs = await Promise.all(children.map((pid) => readlink(`/proc/${pid}/exe`).catch(() => "gone")));
  return children.filter((_, i) => programs[i] === xray);
}

/** The engine of a node. Throws unless there is exactly one. */
export async function engineOf(node: number): Promise<number> {
  const [engine, ...others] = await enginesOf(node);
  if (engine === undefined || others.length > 0) throw new Error(`node ${node} has another number of engines than one`);
  return engine;
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
