import { ApplyMode } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { EngineKind } from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import type { User } from "../../../../gen/service/node_pb.ts";
import type { Engine } from "../../engines/engine.ts";
import { StartFailed } from "../../engines/engine-error.ts";
import { canonicalAddress } from "../../engines/sockets/ss-output.ts";
import { readUserName } from "../config/links.ts";
import { wireGuardRequest } from "../config/wireguard-request.ts";
import type { DrivenEngine, Refusals } from "./driven-engine.ts";

/** The engine of WireGuard, as the node has it. */
export interface WireGuardAtHand {
  /** Loads it when it is called first; always the same one. */
  open(): Promise<Engine>;
  /** An earlier process of this node may have left something of it, which the engine takes up or ends when it is loaded. */
  readonly isLeft: boolean;
}

/**
 * Drives WireGuard. `lives` counts how often the engine has started, or started again.
 *
 * WireGuard itself refuses nobody by address. Whoever is connected from an address that is refused is left out as a
 * whole, until that address is refused no longer: since a peer is in one place at a time, nobody else is concerned.
 */
export function createDrivenWireGuard({ open, isLeft }: WireGuardAtHand, lives: () => number): DrivenEngine {
  let engine: Engine | undefined;
  let last: string | undefined;
  /** Users who are left out because of where they were connected from. */
  let heldOff: ReadonlySet<string> = new Set();

  async function addresses(name: string) {
    const online = await engine?.online(name);
    return online && Object.fromEntries(Object.entries(online).map(([ip, active]) => [canonicalAddress(ip), active]));
  }

  async function toHoldOff(users: readonly User[], { addressesOf }: Refusals): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    for (const { email } of users) {
      const refused = addressesOf(uuidOf(email));
      if (refused.length === 0) continue;
      const connected = await addresses(email).then(
        (online = {}) => online,
        () => undefined,
      );
      // Where the engine does not tell, it is as it was.
      const isThere = connected === undefined ? heldOff.has(email) : refused.some((address) => address in connected);
      if (isThere) found.add(email);
    }
    return found;
  }

  return {
    kind: EngineKind.WIREGUARD,
    name: "wireguard",
    get counted() {
      return engine;
    },
    async apply(services, refusals) {
      const wanted = services?.wireguard;
      if (wanted === undefined || wanted.inbounds.length === 0) {
        last = undefined;
        if (engine === undefined && !isLeft) return { mode: ApplyMode.ADOPTED, users: undefined, leftOut: [] };
        engine ??= await open();
        const didRun = engine.state !== "stopped";
        await engine.stop(); // also what is being taken up
        return { mode: didRun ? ApplyMode.RESTARTED : ApplyMode.ADOPTED, users: undefined, leftOut: [] };
      }
      const request = wireGuardRequest(wanted);
      engine ??= await open();
      const welcome = request.users.filter(({ email }) => !refusals.isRefused(uuidOf(email)));
      heldOff = await toHoldOff(welcome, refusals);
      const users = welcome.filter(({ email }) => !heldOff.has(email));
      const before = lives();
      const { skipped, rejected } = await engine.start({ ...request, users });
      if (engine.state !== "running") throw new StartFailed("wireguard went away as soon as it had started");
      const isSame = last === request.config;
      last = request.config;
      const mode = lives() !== before ? ApplyMode.RESTARTED : isSame ? ApplyMode.ADOPTED : ApplyMode.LIVE;
      return { mode, users: users.length, leftOut: [...skipped, ...rejected] };
    },
    async onlineNames() {
      const names = await engine?.onlineNames();
      // WireGuard itself does not know at once that somebody is gone.
      return names && new Set([...names].filter((name) => heldOff.has(name) || engine?.knows("user", name)));
    },
    addresses,
  };
}

function uuidOf(name: string): string {
  return readUserName(name)?.uuid ?? "";
}
