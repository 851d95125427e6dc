import { spawn } from "node:child_process";
import { once } from "node:events";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { fromBinary } from "@bufbuild/protobuf";
import type { TypedMessage } from "../../../../gen/xray/common/serial/typed_message_pb.ts";
import {
  ConfigSchema,
  type InboundHandlerConfig,
  type OutboundHandlerConfig,
} from "../../../../gen/xray/core/config_pb.ts";
import { isErrno } from "../../../platform/errno.ts";
import { ConfigRefused } from "../engine-error.ts";
import { readLines } from "../process/lines.ts";
import { environmentOf, type XrayProgram } from "./process.ts";

/** A config as Xray's API takes it. */
export interface TypedConfig {
  /** By tag. */
  readonly inbounds: ReadonlyMap<string, InboundHandlerConfig>;
  /** By tag. */
  readonly outbounds: ReadonlyMap<string, OutboundHandlerConfig>;
  readonly routing: TypedMessage | undefined;
}

/**
 * Has Xray itself turn a JSON document into messages, since nobody else knows them all: 30 ms, and 15 ms more for every
 * 1,000 users in it. Nothing of it appears on disk. Throws {@link ConfigRefused} with Xray's own words.
 */
export async function readTypedConfig(
  { executable, assets, env }: XrayProgram,
  document: Iterable<string>,
  timeoutMs: number,
): Promise<TypedConfig> {
  const child = spawn("/bin/sh", ["-c", converter, "garrison-convert", executable], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...environmentOf(env), XRAY_LOCATION_ASSET: assets },
    detached: true,
  });
  const lines: string[] = [];
  readLines(child.stderr, (line) => lines.push(line));
  const timer = setTimeout(() => endGroup(child.pid), timeoutMs);
  try {
    const closed = once(child, "close");
    // A process that ends before it has read everything says why.
    pipeline(Readable.from(document), child.stdin).catch(() => undefined);
    const [bytes] = await Promise.all([buffer(child.stdout), closed]);
    const last = lines.findLast((line) => line !== "");
    if (last !== done) throw new Error(last ?? "xray did not read the config");
    return index(bytes);
  } catch (error) {
    throw new ConfigRefused(error instanceof Error ? error.message : String(error));
  } finally {
    clearTimeout(timer);
  }
}

const done = "garrison: converted";
// Xray writes to a file that it opens by its name. Node's pipes are sockets, which nobody can open; a shell's can be.
const converter = `{ "$1" convert pb -o /proc/self/fd/3 stdin: 3>&1 >&2 && echo '${done}' >&2; } | cat`;

/** Kills a process and all that it started. */
function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error; // it has just ended by itself
  }
}

function index(bytes: Uint8Array): TypedConfig {
  const { inbound, outbound, app } = fromBinary(ConfigSchema, bytes);
  return {
    inbounds: new Map(inbound.map((handler) => [handler.tag, handler])),
    outbounds: new Map(outbound.map((handler) => [handler.tag, handler])),
    routing: app.find(({ type }) => type === "xray.app.router.Config"),
  };
}
