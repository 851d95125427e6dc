import { access, readFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { findOnPath } from "../install/locate.ts";

/** Options of {@link canRunWireGuard}. */
export interface AbilityOptions {
  /** The wireguard-go to use where the kernel has no WireGuard. Undefined: there is none. */
  readonly executable: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** Where the system's own directories are. Default: `/`. */
  readonly root?: string;
}

/**
 * Whether all is there that an interface of WireGuard takes: the right to make one, `ip`, and either the kernel's WireGuard
 * and `wg`, or wireguard-go and the device that it needs. Only looks, and makes nothing. Never rejects.
 */
export async function canRunWireGuard({ executable, env, root = "/" }: AbilityOptions): Promise<boolean> {
  if (!(await mayAdministerNetworks(root)) || (await findOnPath(env, "ip")) === undefined) return false;
  if (await isInKernel(root)) return (await findOnPath(env, "wg")) !== undefined;
  return executable !== undefined && (await isThere(join(root, "dev/net/tun")));
}

/** This process has CAP_NET_ADMIN, which is the twelfth capability. */
async function mayAdministerNetworks(root: string): Promise<boolean> {
  const status = await textOf(join(root, "proc/self/status"));
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  return ((BigInt(`0x${effective}`) >> 12n) & 1n) === 1n;
}

/** WireGuard is loaded, part of the kernel, or among the modules that are loaded when they are wanted. */
async function isInKernel(root: string): Promise<boolean> {
  if (await isThere(join(root, "sys/module/wireguard"))) return true;
  const modules = join(root, "lib/modules", release());
  const lists = await Promise.all(["modules.builtin", "modules.dep"].map((file) => textOf(join(modules, file))));
  return lists.some((list) => /(^|\/)wireguard\.ko\b/m.test(list));
}

const textOf = (file: string) => readFile(file, "latin1").catch(() => "");
const isThere = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
