import { readFile } from "node:fs/promises";
import type { DeviceState, WireGuardDevice } from "../../src/node/engines/wireguard/device/device.ts";
import { DeviceRefused } from "../../src/node/engines/wireguard/device/device.ts";
import { type SystemTools, ToolFailed } from "../../src/node/engines/wireguard/host/system-tool.ts";

// What `wg` is asked and what it says was recorded once, from a real one. A suite with a real one proves that it still
// says so; one without reads it here.

/** One run of `wg`. */
export interface Exchange {
  readonly args: readonly string[];
  readonly input: string;
  /** What it printed. */
  readonly output?: string;
  /** What it printed when it failed. */
  readonly failure?: string;
}

/** The interface of what was recorded. */
export const recordedName = "wg0";

const file = new URL("./wg-exchanges.json", import.meta.url);

/** What was recorded. */
export async function recordedExchanges(): Promise<Exchange[]> {
  return JSON.parse(await readFile(file, "utf8"));
}

/** Tools that note what they are asked and say, for an interface that is called otherwise here. */
export function recording(tools: SystemTools, name: string): { tools: SystemTools; exchanges: Exchange[] } {
  const exchanges: Exchange[] = [];
  const asRecorded = (text: string) => text.replaceAll(name, recordedName);
  return {
    exchanges,
    async tools(program, args, input = "") {
      const asked = { args: args.map(asRecorded), input };
      try {
        const output = await tools(program, args, input);
        exchanges.push({ ...asked, output: inOrder(asRecorded(output)) });
        return output;
      } catch (error) {
        if (error instanceof ToolFailed) exchanges.push({ ...asked, failure: asRecorded(error.said) });
        throw error;
      }
    },
  };
}

/** Tools that say what was recorded, and fail when they are asked anything else. */
export function replaying(exchanges: readonly Exchange[]): SystemTools {
  const left = [...exchanges];
  return async (program, args, input = "") => {
    const next = left.shift();
    const asked = JSON.stringify({ args, input });
    if (program !== "wg" || JSON.stringify({ args: next?.args, input: next?.input }) !== asked)
      throw new Error(`it was not recorded that ${program} is asked ${asked}`);
    if (next?.failure !== undefined) throw new ToolFailed(`wg ${args.join(" ")}`, next.failure);
    return next?.output ?? "";
  };
}

const key = (number: number) => Buffer.alloc(32, number).toString("base64");

/** Asks a device for all that it can do; what it held meanwhile, and what it refused. Peers and ranges are sorted. */
export async function askForEverything(
  device: WireGuardDevice,
): Promise<{ readonly states: readonly DeviceState[]; readonly refusal: string }> {
  const peer = (number: number, allowedIps: string[], preSharedKey?: string) => ({
    publicKey: key(number),
    allowedIps,
    preSharedKey,
  });
  const states: DeviceState[] = [];
  const look = async () => {
    const { listenPort, peers } = await device.read();
    const sorted = peers.map((each) => ({ ...each, allowedIps: [...each.allowedIps].sort() }));
    states.push({ listenPort, peers: sorted.sort((left, right) => (left.publicKey < right.publicKey ? -1 : 1)) });
  };
  await device.configure({ privateKey: Buffer.alloc(32, 0x41).toString("base64"), listenPort: 51_820 });
  await look();
  await device.change([peer(1, ["10.8.0.2/32", "fd00::2/128"], key(9)), peer(2, ["10.8.0.3/32"])]);
  await look();
  // One goes, one changes keys, one gives up its address to another.
  await device.change([
    { publicKey: key(2), remove: true },
    peer(1, []),
    peer(3, ["10.8.0.3/32", "10.8.0.2/32"]),
    peer(1, ["10.8.0.4/32"]),
  ]);
  await look();
  const refusal = await device.change([peer(4, ["10.8.0.5/99"])]).then(
    () => "",
    (error: unknown) => (error instanceof DeviceRefused ? error.message : `${error}`),
  );
  return { states, refusal };
}

/** The peers of a dump come in any order, and so do their ranges. */
function inOrder(dump: string): string {
  const [first = "", ...lines] = dump.trimEnd().split("\n");
  if (lines.length === 0) return dump;
  const sorted = lines.map((line) =>
    line
      .split("\t")
      .map((field, index) => (index === 3 ? field.split(",").sort().join(",") : field))
      .join("\t"),
  );
  return `${[first, ...sorted.sort()].join("\n")}\n`;
}
