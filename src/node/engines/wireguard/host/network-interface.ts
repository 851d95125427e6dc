import { z } from "zod";
import { StartFailed } from "../../engine-error.ts";
import type { Cidr } from "../cidr.ts";
import { type SystemTools, ToolFailed } from "./system-tool.ts";

const links = z.array(
  z.object({
    ifindex: z.number(),
    ifname: z.string(),
    ifalias: z.string().optional(),
    linkinfo: z.object({ info_kind: z.string().optional() }).optional(),
  }),
);
const addressLists = z.array(
  z.object({ addr_info: z.array(z.object({ local: z.string(), prefixlen: z.number(), scope: z.string() })) }),
);

/** The kind of interface that the kernel's WireGuard is. */
export const kernelsKind = "wireguard";

/** Makes the kernel's WireGuard, with the mark of its owner. Throws {@link ToolFailed}. */
export async function addKernelInterface(name: string, owner: string, tools: SystemTools): Promise<void> {
  await tools("ip", ["link", "add", "dev", name, "type", kernelsKind]);
  try {
    await markInterface(name, owner, tools);
  } catch (error) {
    // Without a mark no run of the node would ever take it away.
    await tools("ip", ["link", "delete", "dev", name]).catch(() => undefined);
    throw error;
  }
}

/** Marks an interface with its owner: one of the nodes of this machine. Throws {@link ToolFailed}. */
export async function markInterface(name: string, owner: string, tools: SystemTools): Promise<void> {
  await tools("ip", ["link", "set", "dev", name, "alias", owner]);
}

/** The interfaces that bear an owner's mark, by name. Throws {@link ToolFailed}. */
export async function interfacesOf(owner: string, tools: SystemTools): Promise<string[]> {
  const all = links.parse(JSON.parse(await tools("ip", ["-json", "link", "show"])));
  return all.flatMap(({ ifname, ifalias }) => (ifalias === owner ? [ifname] : []));
}

/** An interface as the system knows it. */
export interface FoundInterface {
  readonly index: number;
  /** Whose mark it bears. */
  readonly owner: string | undefined;
  /** Such as `wireguard` and `tun`. */
  readonly kind: string | undefined;
}

/** Looks for an interface; undefined when there is none of that name. Throws {@link ToolFailed}. */
export async function findInterface(name: string, tools: SystemTools): Promise<FoundInterface | undefined> {
  try {
    const [link] = links.parse(JSON.parse(await tools("ip", ["-json", "-details", "link", "show", "dev", name])));
    return link && { index: link.ifindex, owner: link.ifalias, kind: link.linkinfo?.info_kind };
  } catch (error) {
    if (error instanceof ToolFailed && /does not exist/.test(error.said)) return undefined;
    throw error;
  }
}

/** Throws {@link StartFailed} for an interface that does not bear an owner's mark. */
export function requireOwn(name: string, found: FoundInterface, owner: string): void {
  if (found.owner === owner) return;
  throw new StartFailed(
    `there is an interface ${name} already that this node has not made: choose another interface_name, or remove it ` +
      `with \`ip link delete ${name}\``,
  );
}

/** Removes an interface that bears an owner's mark, if it is there. Throws {@link StartFailed} for one that does not. */
export async function removeOwnInterface(name: string, owner: string, tools: SystemTools): Promise<void> {
  const found = await findInterface(name, tools);
  if (found === undefined) return;
  requireOwn(name, found, owner);
  await tools("ip", ["link", "delete", "dev", name]).catch((error: unknown) => {
    if (!(error instanceof ToolFailed && /Cannot find device/.test(error.said))) throw error;
  });
}

/** Gives an interface exactly these addresses, and leaves those alone that it has already. Throws {@link ToolFailed}. */
export async function setAddresses(name: string, wanted: readonly Cidr[], tools: SystemTools): Promise<void> {
  const addresses = new Set(wanted.map(({ address }) => address));
  const before = await addressesOf(name, tools);
  const surplus = before.filter(({ address, isKernels }) => !addresses.has(address) && !isKernels);
  for (const { address } of surplus)
    await tools("ip", ["address", "delete", address, "dev", name]).catch(async (error: unknown) => {
      if ((await addressesOf(name, tools)).some((held) => held.address === address)) throw error;
    });
  // Others of the same range may have gone with the first of them.
  const held = surplus.length > 0 ? await addressesOf(name, tools) : before;
  for (const { address } of held) addresses.delete(address);
  for (const address of addresses) await tools("ip", ["address", "add", address, "dev", name]);
}

async function addressesOf(name: string, tools: SystemTools) {
  const lists = addressLists.parse(JSON.parse(await tools("ip", ["-json", "address", "show", "dev", name])));
  return lists
    .flatMap((list) => list.addr_info)
    .map(({ local, prefixlen, scope }) => ({ address: `${local}/${prefixlen}`, isKernels: scope === "link" }));
}

/** Has an interface carry packets. Throws {@link ToolFailed}. */
export async function bringUp(name: string, tools: SystemTools): Promise<void> {
  await tools("ip", ["link", "set", "dev", name, "up"]);
}
