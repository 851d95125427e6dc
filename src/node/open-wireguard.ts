import { mkdir } from "node:fs/promises";
import type { Engine, EngineEvents } from "./engines/engine.ts";
import type { NodeSettings } from "./settings.ts";

/** Options of {@link openWireGuard}. */
export interface OpenWireGuardOptions {
  readonly settings: NodeSettings["wireguard"];
  /** A directory of its own, absolute, which is made. */
  readonly runDir: string;
  /** See {@link WireGuardEngineOptions}. */
  readonly stateFile: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly events: EngineEvents;
}

/** The engine of WireGuard, whose code is loaded only now, for the sake of memory. */
export async function openWireGuard({ settings, ...options }: OpenWireGuardOptions): Promise<Engine> {
  const [{ createSystemTools }, { createWireGuardEngine }] = await Promise.all([
    import("./engines/wireguard/host/system-tool.ts"),
    import("./engines/wireguard/wireguard-engine.ts"),
  ]);
  await mkdir(options.runDir, { recursive: true, mode: 0o700 });
  return createWireGuardEngine({ ...settings, ...options, tools: createSystemTools(options.env), now: Date.now });
}
