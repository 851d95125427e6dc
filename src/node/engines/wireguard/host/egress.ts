import { z } from "zod";
import { interfaceNameShape } from "./interface-name.ts";
import { findInterface } from "./network-interface.ts";
import type { SystemTools } from "./system-tool.ts";

/** IPv4 or IPv6, as {@link Cidr} names them. */
export type Family = "ipv4" | "ipv6";
/** Both. */
export const families = ["ipv4", "ipv6"] as const;

const routes = z.array(
  z.object({
    type: z.string().optional(),
    dst: z.string(),
    dev: z.string().optional(),
    nexthops: z.array(z.object({ dev: z.string() })).optional(),
    metric: z.number().default(0),
    flags: z.array(z.string()).default([]),
  }),
);
const addressLists = z.array(
  z.object({
    addr_info: z.array(
      z.object({ family: z.string().optional(), local: z.string().optional(), deprecated: z.boolean().optional() }),
    ),
  }),
);

/** The interface of the best default route, as `ip -json route show default` tells it. Undefined: there is none. */
export function readDefaultRoute(answer: string, notBy?: string): string | undefined {
  const [best] = routes
    .parse(parseAnswer(answer))
    .filter(({ type, dst, flags }) => (type ?? "unicast") === "unicast" && dst === "default" && !flags.some(isDown))
    .map(({ dev, nexthops, metric }) => ({ name: dev ?? nexthops?.[0]?.dev ?? "", metric }))
    .filter(({ name }) => interfaceNameShape.test(name) && name !== "lo" && name !== notBy)
    .sort((left, right) => left.metric - right.metric);
  return best?.name;
}

/**
 * The interface by which packets of a family leave this machine, but never the one that they come from. Undefined: it
 * has no such route. Throws {@link ToolFailed}.
 */
export async function findDefaultRoute(
  family: Family,
  tools: SystemTools,
  notBy?: string,
): Promise<string | undefined> {
  return readDefaultRoute(await tools("ip", ["-json", option[family], "route", "show", "default"]), notBy);
}

/**
 * The address of an interface that it sends from, by family; none for an interface that is not there. Throws
 * {@link ToolFailed}.
 */
export async function sendingAddresses(
  name: string,
  tools: SystemTools,
): Promise<{ readonly [family in Family]?: string }> {
  if ((await findInterface(name, tools)) === undefined) return {};
  const answer = await tools("ip", ["-json", "address", "show", "dev", name, "scope", "global"]);
  const held = addressLists.parse(parseAnswer(answer)).flatMap((list) => list.addr_info);
  const first = (wanted: string) =>
    held.find(({ family, deprecated }) => family === wanted && deprecated !== true)?.local;
  const [ipv4, ipv6] = [first("inet"), first("inet6")];
  return { ...(ipv4 !== undefined && { ipv4 }), ...(ipv6 !== undefined && { ipv6 }) };
}

const option = { ipv4: "-4", ipv6: "-6" } as const;

function isDown(flag: string): boolean {
  return flag === "dead" || flag === "linkdown";
}

/** Older versions of `ip` say nothing at all where there is nothing. */
function parseAnswer(answer: string): unknown {
  return JSON.parse(answer.trim() || "[]");
}
