import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { makeNamespace } from "./network-namespace.ts";

/** Whether the kernel of this machine has WireGuard, so that a node runs it there and not as a process. */
export async function kernelHasWireGuard(): Promise<boolean> {
  const network = await makeNamespace(1).catch(() => undefined);
  if (network === undefined) return false;
  try {
    await promisify(execFile)("ip", ["-n", network.name, "link", "add", "dev", "wg0", "type", "wireguard"]);
    return true;
  } catch {
    return false;
  } finally {
    await network.close();
  }
}
