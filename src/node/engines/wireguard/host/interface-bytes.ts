import { readFileSync } from "node:fs";

/** What has gone through an interface since it was made, without what WireGuard adds. */
export interface InterfaceBytes {
  /** What came from the peers. */
  readonly uplinkBytes: bigint;
  readonly downlinkBytes: bigint;
}

/** Looks at what has gone through an interface. Undefined when there is none of that name. */
export function readInterfaceBytes(name: string): InterfaceBytes | undefined {
  // Of the network that this process is in; /sys may be another one's.
  for (const line of readFileSync("/proc/self/net/dev", "latin1").split("\n")) {
    const [device, numbers] = line.split(":");
    if (device?.trim() !== name || numbers === undefined) continue;
    const [received = "0", , , , , , , , sent = "0"] = numbers.trim().split(/\s+/);
    return { uplinkBytes: BigInt(received), downlinkBytes: BigInt(sent) };
  }
  return undefined;
}
