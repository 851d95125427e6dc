import { setTimeout as sleep } from "node:timers/promises";
import { isRunning } from "../../../platform/proc.ts";
import type { Incarnation } from "../engine.ts";
import { StartFailed } from "../engine-error.ts";
import { pinnedEngines } from "../install/pinned.ts";
import { versionOf } from "../install/version.ts";
import { watchOver } from "../process/death-watch.ts";
import { adoptProcess, type EngineProcess, type ProcessEnd, spawnProcess } from "../process/engine-process.ts";
import { endRecorded, forgetProcess, recordedProcess, recordProcess } from "../process/process-record.ts";
import type { WireGuardDevice } from "./device/device.ts";
import { createKernelDevice } from "./device/kernel-device.ts";
import { createUapiDevice } from "./device/uapi-device.ts";
import { requireSocketFree, socketDirectory, socketOf } from "./device/uapi-socket.ts";
import { recordedInterface, recordInterface } from "./host/interface-record.ts";
import {
  addKernelInterface,
  findInterface,
  interfacesOf,
  kernelsKind,
  markInterface,
  removeOwnInterface,
  requireOwn,
} from "./host/network-interface.ts";
import { type SystemTools, ToolFailed } from "./host/system-tool.ts";

/** An interface of WireGuard that stands, without key, addresses and peers yet. */
export interface Tunnel {
  readonly device: WireGuardDevice;
  /** Of the program that drives it: of wireguard-go, or of `wg` where the kernel does the work. */
  readonly version: string;
  readonly incarnation: Incarnation;
  /** The process, where it is one. */
  readonly process: EngineProcess | undefined;
  /** Takes the interface away. */
  close(): Promise<void>;
  /** Leaves it alone: it stands on, for whoever comes after this process. */
  leave(): void;
}

/** How an interface is made. */
export interface TunnelOptions {
  readonly interfaceName: string;
  /** The wireguard-go to use where the kernel has no WireGuard. Undefined: there is none. */
  readonly executable: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** The file that notes which process runs, or which interface of the kernel stands. */
  readonly record: string;
  /** What marks interfaces of this node, so that no other is ever removed. */
  readonly owner: string;
  readonly tools: SystemTools;
  /** The named pipe for what the process writes, which lets it outlive this one; undefined: it dies with this one. */
  readonly output: string | undefined;
  readonly onLine: (line: string) => void;
}

const startMs = 10_000;
/** One that was left and runs answers at once. */
const answerMs = 3_000;
const keepLines = 50;
const terminationGraceMs = 3_000;
const probeMs = 10;

/** Throws {@link StartFailed} when there is an interface of that name that this node has not made. */
export async function requireNameFree(name: string, { owner, tools }: Pick<TunnelOptions, "owner" | "tools">) {
  const found = await findInterface(name, tools).catch(() => undefined);
  if (found !== undefined) requireOwn(name, found, owner);
}

/**
 * Makes an interface: of the kernel's WireGuard, or where it has none of wireguard-go. One of the name that a node has
 * left is removed before. Throws {@link StartFailed}, which says what is missing and how to give it.
 */
export async function openTunnel(options: TunnelOptions, signal: AbortSignal): Promise<Tunnel> {
  const { interfaceName, owner, tools } = options;
  try {
    await removeOwnInterface(interfaceName, owner, tools);
    await addKernelInterface(interfaceName, owner, tools);
  } catch (error) {
    if (!(error instanceof ToolFailed)) throw error;
    if (/unknown device type|not supported/i.test(error.said)) return openProcess(options, signal);
    throw new StartFailed(`the interface ${interfaceName} cannot be made: ${withHint(error)}`);
  }
  return openKernel(options);
}

/** Takes away what an earlier process of this node has left: interfaces and processes that are its own beyond doubt. */
export async function removeLeftTunnels({ record, owner, tools }: Pick<TunnelOptions, "record" | "owner" | "tools">) {
  const left = await recordedProcess(record);
  if (left !== undefined) await endRecorded(left, terminationGraceMs);
  await forgetProcess(record);
  for (const name of await interfacesOf(owner, tools)) await removeOwnInterface(name, owner, tools);
}

/** The interface that an earlier process of this node has left, if it stands and answers. Throws {@link ToolFailed}. */
export async function takeOverTunnel(options: TunnelOptions): Promise<Tunnel | undefined> {
  const { interfaceName, record, owner, tools, output } = options;
  const found = await findInterface(interfaceName, tools);
  if (found?.owner !== owner) return undefined;
  if (found.kind === kernelsKind) {
    const incarnation = await recordedInterface(record, found.index);
    return incarnation === undefined ? undefined : holdKernel(options, incarnation);
  }
  const left = await recordedProcess(record);
  if (left === undefined || left.plan !== interfaceName || output === undefined) return undefined;
  const device = createUapiDevice({ socketPath: socketOf(interfaceName), timeoutMs: answerMs });
  if (!(await device.read().then(...isSo))) return undefined;
  const process = adoptProcess(left.pid, left.startTicks, output, { keepLines, onLine: options.onLine });
  return holdProcess(options, process, left.version, async () => undefined);
}

async function openKernel(options: TunnelOptions): Promise<Tunnel> {
  const found = await findInterface(options.interfaceName, options.tools);
  return holdKernel(options, await recordInterface(options.record, found?.index ?? 0));
}

async function holdKernel({ interfaceName, owner, tools }: TunnelOptions, incarnation: Incarnation): Promise<Tunnel> {
  const said = await tools("wg", ["--version"]).catch(() => "");
  return {
    device: createKernelDevice(interfaceName, tools),
    version: /^\S+ v?(\S+)/.exec(said)?.[1] ?? "unknown",
    incarnation,
    process: undefined,
    close: () => removeOwnInterface(interfaceName, owner, tools),
    leave: () => undefined,
  };
}

async function openProcess(options: TunnelOptions, signal: AbortSignal): Promise<Tunnel> {
  const { interfaceName, executable, env, record, owner, tools, output, onLine } = options;
  if (executable === undefined) {
    throw new StartFailed(
      "this kernel has no WireGuard, and there is no wireguard-go: run `garrison engines install wireguard`, or install " +
        "the package wireguard-go",
    );
  }
  await requireSocketFree(interfaceName);
  const process = await spawnProcess({
    executable,
    // In the foreground, and without its advice to use the kernel's.
    args: ["-f", interfaceName],
    env: { PATH: env.PATH, LOG_LEVEL: "error", WG_PROCESS_FOREGROUND: "1" },
    ...{ keepLines, onLine, output },
  }).catch((error: Error) => {
    throw new StartFailed(`wireguard-go cannot be run: ${error.message}`);
  });
  const watch = watchOver(process, onLine);
  const note = (version: string) =>
    recordProcess(record, process, { plan: interfaceName, version }).then(
      () => true,
      (error: unknown) => {
        // One that has ended says itself why.
        if (isRunning(process.pid, process.startTicks))
          onLine(`[garrison] it cannot be noted which wireguard-go runs, it ends with the node: ${error}`);
        return false;
      },
    );
  const hold = (version: string) => holdProcess(options, process, version, () => watch.close());
  try {
    const said = versionOf(executable, pinnedEngines.wireguard).catch(() => "unknown");
    const noted = await note("");
    await untilAnswers(createUapiDevice({ socketPath: socketOf(interfaceName) }), process, signal);
    await markInterface(interfaceName, owner, tools);
    const version = await said;
    // What was started by a script is another program by now.
    if (noted && (await note(version)) && output !== undefined) await watch.close();
    return hold(version);
  } catch (error) {
    await hold("").close();
    if (error instanceof ToolFailed)
      throw new StartFailed(`the interface ${interfaceName} cannot be made: ${withHint(error)}`);
    throw error;
  }
}

function holdProcess(
  { interfaceName, record }: TunnelOptions,
  process: EngineProcess,
  version: string,
  closeWatch: () => Promise<void>,
): Tunnel {
  // It may also end by itself.
  const gone = process.ended.then(closeWatch);
  return {
    device: createUapiDevice({ socketPath: socketOf(interfaceName) }),
    ...{ version, process, incarnation: process.incarnation },
    async close() {
      await process.terminate(terminationGraceMs);
      await gone;
      await forgetProcess(record);
    },
    leave: process.leave,
  };
}

async function untilAnswers(device: WireGuardDevice, process: EngineProcess, signal: AbortSignal): Promise<void> {
  let ended: ProcessEnd | undefined;
  void process.ended.then((end) => {
    ended = end;
  });
  for (const until = performance.now() + startMs; ; await sleep(probeMs)) {
    if (signal.aborted) throw new StartFailed("stopped while wireguard-go was starting");
    if (ended !== undefined) {
      const said = process.lastLines().join("\n") || `exit ${ended.signal ?? ended.code}`;
      throw new StartFailed(`wireguard-go did not come up: ${withHint(new ToolFailed("wireguard-go", said))}`);
    }
    if (await device.read().then(...isSo)) return;
    if (performance.now() > until) throw new StartFailed(`wireguard-go did not answer within ${startMs / 1_000} s`);
  }
}

const isSo = [() => true, () => false] as const;

/** What a program of the system said, and what to do about it. */
function withHint({ message, said }: ToolFailed): string {
  if (/not permitted/i.test(said)) {
    return `${message}; it needs CAP_NET_ADMIN: run the node as root, give a container --cap-add NET_ADMIN, a systemd unit AmbientCapabilities=CAP_NET_ADMIN`;
  }
  if (/\/dev\/net\/tun|TUN device.*no such/i.test(said)) {
    return `${message}; it needs the device /dev/net/tun: \`modprobe tun\`, and give a container --device /dev/net/tun`;
  }
  if (/UAPI listen error: (?!unix socket in use)/.test(said)) {
    return `${message}; it needs a directory ${socketDirectory} that it may write: run the node as root, or \`install -d -o <user of the node> ${socketDirectory}\`, in a systemd unit RuntimeDirectory=wireguard`;
  }
  return message;
}
