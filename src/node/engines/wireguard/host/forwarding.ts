import { closeSync, constants, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../../../platform/errno.ts";
import type { Family } from "./egress.ts";
import { interfaceNameShape } from "./interface-name.ts";

/**
 * Switches of the kernel that were found before they were changed, by their path below /proc/sys. Where forwarding of a
 * family was found on, that alone stands there: whoever has it relies on it, and has changed nothing.
 */
export type FoundSwitches = ReadonlyMap<string, string>;

/** A switch cannot be changed. The message says why, and what to do. */
export class SwitchUnchangeable extends Error {
  override readonly name = "SwitchUnchangeable";
}

/** The switch of a family that has this machine send on what is not for itself. */
export const forwardingSwitch = {
  ipv4: "net/ipv4/ip_forward",
  ipv6: "net/ipv6/conf/all/forwarding",
} as const satisfies Record<Family, string>;

/**
 * What has to be known of a family's switches before it is forwarded. All of them are those of the network that this
 * process is in. Empty where the machine does not know the family, and where this process may not turn it on: then
 * whoever does that is not to have it turned off again.
 *
 * Forwarding is for the whole machine, and changes more than that it is on: a router heeds no redirects by IPv4, so
 * that the kernel turns those off and, without being asked, on again; and a router heeds no advertisements of routers,
 * so that a host that has its IPv6 routes from one would lose them within the hour, or at once. So the egress
 * interface, and those with routes from one, are told to heed them all the same (`accept_ra` 2).
 */
export function lookAtSwitches(family: Family, egress: string): FoundSwitches {
  const main = forwardingSwitch[family];
  const value = read(main);
  if (value === undefined || (value === "0" && !isWritable(main))) return new Map();
  if (value !== "0") return new Map([[main, value]]);
  const paths =
    family === "ipv4"
      ? ["net/ipv4/conf/all/accept_redirects"]
      : [...new Set([egress, ...advertisedInterfaces()])].map((name) => `net/ipv6/conf/${name}/accept_ra`);
  const others = paths.map((path) => [path, read(path)] as const);
  return new Map([
    [main, value],
    // Another value than 1 is somebody's choice, or heeded by a router as well.
    ...others.flatMap(([path, found]) =>
      found === undefined || (path.endsWith("/accept_ra") && found !== "1") ? [] : [[path, found] as const],
    ),
  ]);
}

/** Has a family forwarded, whose switches were found so. Throws {@link SwitchUnchangeable}. */
export function turnOn(family: Family, found: FoundSwitches): void {
  const main = forwardingSwitch[family];
  const value = read(main);
  if (value === undefined || (value !== "0" && found.get(main) !== "0")) return;
  // Forwarding comes last: routes from advertisements would go as it comes.
  for (const [path] of switchesOf(family, new Map([[main, "0"], ...found])).reverse())
    if (!path.endsWith("/accept_redirects") && read(path) !== valueFor(path)) write(path, family);
}

/** Puts back how the switches of a family were found, but for those that somebody has changed since. */
export function putBack(family: Family, found: FoundSwitches): void {
  // Forwarding comes first: the kernel changes others along with it, which is seen before and mended after.
  const ours = switchesOf(family, found).filter(([path]) => read(path) === valueFor(path));
  for (const [path, value] of ours) write(path, family, value);
}

/** Switches as a line each. */
export function switchesAsLines(found: FoundSwitches): string[] {
  return Array.from(found, ([path, value]) => `found ${path}=${value}`);
}

/** Reads {@link switchesAsLines}; other lines are passed over. */
export function readSwitches(lines: readonly string[]): FoundSwitches {
  return new Map(
    lines.flatMap((line) => {
      const [, path, value] = shape.exec(line) ?? [];
      return path === undefined || value === undefined ? [] : [[path, value] as const];
    }),
  );
}

/** Those of a family, forwarding first. */
export function switchesOf(family: Family, found: FoundSwitches): (readonly [path: string, value: string])[] {
  const main = forwardingSwitch[family];
  const own = [...found].filter(([path]) => path.startsWith(`net/${family}/`));
  return own.sort(([left], [right]) => Number(right === main) - Number(left === main));
}

const root = "/proc/sys";
// Nothing else is ever written, whatever a line says.
const known = [...Object.values(forwardingSwitch), "net/ipv4/conf/all/accept_redirects"];
const shape = new RegExp(`^found (${known.join("|")}|net/ipv6/conf/\\w[\\w.-]{0,14}/accept_ra)=(\\d)$`);

/** What a switch is while packets are forwarded. */
function valueFor(path: string): string {
  if (path.endsWith("/accept_ra")) return "2";
  return path.endsWith("/accept_redirects") ? "0" : "1";
}

function read(path: string): string | undefined {
  try {
    return readFileSync(join(root, path), "latin1").trim();
  } catch {
    return undefined; // the machine has none, or not any more
  }
}

function isWritable(path: string): boolean {
  try {
    // Asked without opening it, the kernel answers for the user alone, whatever capabilities this process has.
    closeSync(openSync(join(root, path), constants.O_WRONLY));
    return true;
  } catch {
    return false;
  }
}

function write(path: string, family: Family, value = valueFor(path)): void {
  try {
    writeFileSync(join(root, path), value);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return; // the interface has gone
    const wanted = `${forwardingSwitch[family].replaceAll("/", ".")}=1`;
    throw new SwitchUnchangeable(
      `${path.replaceAll("/", ".")} cannot be set to ${value} (${error instanceof Error ? error.message : error}): run ` +
        `\`sysctl -w ${wanted}\` on the machine, or give a container \`--sysctl ${wanted}\``,
      { cause: error },
    );
  }
}

/** The interfaces that have routes from a router's advertisements. */
function advertisedInterfaces(): string[] {
  const routes = readFileSync("/proc/self/net/ipv6_route", "latin1").trim().split("\n");
  return routes.flatMap((route) => {
    const [flags = "", name = ""] = route.split(/\s+/).slice(8);
    return Number.parseInt(flags, 16) & fromAdvertisement && interfaceNameShape.test(name) ? [name] : [];
  });
}

// RTF_ADDRCONF of linux/ipv6_route.h.
const fromAdvertisement = 0x4_0000;
